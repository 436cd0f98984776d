import { PbfWriter } from 'pbf';

/** An initialiser of float32. */
export interface Weight {
  readonly name: string;
  readonly dims: readonly number[];
  readonly areDimsPacked?: boolean;
  /** Where it lies if not in the graph's file: onnx.proto's external_data. */
  readonly external?: Readonly<Record<string, string>>;
  readonly raw?: Uint8Array;
}

function writeEntry([key, value]: readonly [string, string], entry: PbfWriter): void {
  entry.writeStringField(1, key);
  entry.writeStringField(2, value);
}

function writeWeight({ name, dims, areDimsPacked, external, raw }: Weight, tensor: PbfWriter): void {
  if (areDimsPacked === true) tensor.writePackedVarint(1, [...dims]);
  else for (const size of dims) tensor.writeVarintField(1, size);
  tensor.writeVarintField(2, 1);
  tensor.writeStringField(8, name);
  if (raw !== undefined) tensor.writeBytesField(9, raw);
  for (const entry of Object.entries(external ?? {})) tensor.writeMessage(13, writeEntry, entry);
}

/** An onnx.proto ModelProto of nothing but weights, with what else a file has around them. */
export function graphOf(weights: readonly Weight[]): Uint8Array {
  const model = new PbfWriter();
  model.writeVarintField(1, 10);
  model.writeStringField(2, 'a producer');
  model.writeMessage(
    7,
    (_, graph) => {
      graph.writeStringField(2, 'a graph');
      for (const weight of weights) graph.writeMessage(5, writeWeight, weight);
    },
    null,
  );
  return model.finish();
}
