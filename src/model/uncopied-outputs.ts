/**
 * Runs that leave their outputs where the caller wants them, and nowhere else. onnxruntime-node 1.30 copies every output
 * that was fetched into a new array, also one bound to memory of the caller: key and value caches of megabytes in every
 * step, a third of its time (docs/log.md). The copying goes through the outputs in the graph's order, and
 * ends at the first that is no tensor, with an error, after the run is complete. So a graph gets such an output, as
 * its first. Knows nothing of what the outputs are.
 */
import type { Feeds, Fetches, NativeSession } from './native-session.ts';
import { releaseCopies } from './release-copies.ts';

/** An empty sequence. */
const MARKER = 'foretoken_no_copies';
/** What onnxruntime-node says of it (js/node/src/tensor_helper.cc, OrtValueToNapiValue), and of nothing else. */
const NOT_A_TENSOR = 'Non tensor type is temporarily not supported.';

/** Protocol buffers' length-delimited field, of less than 128 bytes. */
const field = (number: number, content: readonly number[] | string): number[] => {
  const bytes = typeof content === 'string' ? [...Buffer.from(content)] : content;
  return [(number << 3) | 2, bytes.length, ...bytes];
};

/** onnx.proto: ModelProto.graph 7; GraphProto.node 1, output 12; NodeProto.output 2, op_type 4; ValueInfoProto.name 1, type 2. */
const MARKER_GRAPH = Buffer.from(
  field(7, [
    ...field(1, [...field(2, MARKER), ...field(4, 'SequenceEmpty')]),
    // TypeProto.sequence_type 4, its elem_type 1, a TypeProto.tensor_type 1, its elem_type 1: float.
    ...field(12, [...field(1, MARKER), ...field(2, field(4, field(1, field(1, [1 << 3, 1]))))]),
  ]),
);

/**
 * The serialised ONNX model with the marker as first output. Serialised messages that follow each other are parsed as
 * one, their lists joined in that order (protobuf.dev/programming-guides/encoding, "Last One Wins").
 */
export function withMarker(model: Uint8Array): Uint8Array<ArrayBuffer> {
  return Buffer.concat([MARKER_GRAPH, model]);
}

/** Fills the tensors of `fetches`, to which it adds the marker. */
export function runInto(
  session: Pick<NativeSession, 'outputMetadata' | 'run'>,
  feeds: Feeds,
  fetches: Fetches,
): void {
  if (session.outputMetadata[0]?.name !== MARKER) {
    releaseCopies(session.run(feeds, fetches), fetches);
    return;
  }
  fetches[MARKER] = null;
  const { stackTraceLimit } = Error;
  // Nobody reads where the error comes from, and finding that out takes 4 us.
  Error.stackTraceLimit = 0;
  try {
    releaseCopies(session.run(feeds, fetches), fetches);
  } catch (error) {
    if ((error as Error).message !== NOT_A_TENSOR) throw error;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
