import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readManifest } from '../../../src/model/manifest.ts';

const names = {
  inputs: {
    input_ids: 'input_ids',
    position_ids: 'position_ids',
    past_key_names: 'past.%d.key',
    past_value_names: 'past.%d.value',
  },
  outputs: {
    logits: 'logits',
    hidden_states: 'hidden_states',
    present_key_names: 'present.%d.key',
    present_value_names: 'present.%d.value',
  },
};

const decoder = {
  filename: 'model.onnx',
  num_hidden_layers: 2,
  num_key_value_heads: 1,
  head_size: 8,
  hidden_size: 16,
  ...names,
};

const mtp = {
  filename: 'mtp.onnx',
  num_hidden_layers: 1,
  num_key_value_heads: 1,
  head_size: 8,
  inputs: { ...names.inputs, hidden_states: 'states_in' },
  outputs: names.outputs,
};

const model = { vocab_size: 100, context_length: 64, eos_token_id: [0, 7], decoder, mtp };
const extras = {
  format_version: 1,
  num_spec_tokens: 2,
  max_spec_tokens: 5,
  fim: { prefix: 1, suffix: 2, middle: 3 },
};

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('readManifest', () => {
  let root: string;
  let folder: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'manifest-'));
    folder = join(root, 'tiny-model');
    mkdirSync(folder);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const write = (name: string, content: string | object): void =>
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));

  const expectRefusal = async (file: string, ...texts: string[]): Promise<void> => {
    const error: unknown = await readManifest(folder).catch((err: unknown) => err);
    expect(error).toMatchObject({ code: 'invalid_model', param: join(folder, file) });
    for (const text of texts) expect((error as Error).message).toContain(text);
  };

  it('reads a folder', async () => {
    write('genai_config.json', { model, search: { max_length: 64 } });
    write('model.onnx', 'weights');
    write('foretoken.json', { ...extras, precision: 'int8', sha256: { 'model.onnx': sha256('weights') } });
    write('chat_template.jinja', '');
    expect(await readManifest(folder)).toEqual({
      folder,
      id: 'tiny-model',
      created: expect.any(Number) as number,
      vocabSize: 100,
      hiddenSize: 16,
      contextLength: 64,
      eosTokenIds: [0, 7],
      target: decoder,
      mtp,
      numSpecTokens: 2,
      maxSpecTokens: 5,
      fim: { prefix: 1, suffix: 2, middle: 3, order: 'psm' },
      hasChatTemplate: true,
      sharedPasses: [],
    });
  });

  it('reads the order of prefix and suffix', async () => {
    write('genai_config.json', { model });
    write('foretoken.json', { ...extras, fim: { ...extras.fim, order: 'spm' } });
    expect((await readManifest(folder)).fim).toEqual({ prefix: 1, suffix: 2, middle: 3, order: 'spm' });
    write('foretoken.json', { ...extras, fim: { ...extras.fim, order: 'mps' } });
    await expectRefusal('foretoken.json', 'fim');
  });

  it('reads graphs of several sequences, most of them first, as far as they are whole', async () => {
    const shared_passes = [
      { num_sequences: 2, target: 'model-2.onnx', mtp: 'mtp-2.onnx' },
      { num_sequences: 3, target: 'model-3.onnx' },
      { num_sequences: 4, target: 'model-4.onnx', mtp: 'mtp-4.onnx' },
    ];
    write('genai_config.json', { model });
    write('foretoken.json', { ...extras, shared_passes });
    const numSequences = async (): Promise<number[]> =>
      (await readManifest(folder)).sharedPasses.map((shared) => shared.numSequences);
    expect(await numSequences()).toEqual([4, 2]);
    write('genai_config.json', { model: { ...model, mtp: undefined } });
    expect(await numSequences()).toEqual([4, 3, 2]);
    write('foretoken.json', { ...extras, shared_passes: [{ num_sequences: 1, target: 'model.onnx' }] });
    await expectRefusal('foretoken.json', 'shared_passes');
  });

  it('has defaults without foretoken.json', async () => {
    write('genai_config.json', { model });
    expect(await readManifest(folder)).toMatchObject({
      numSpecTokens: 3,
      maxSpecTokens: 16,
      fim: null,
      hasChatTemplate: false,
    });
  });

  it('does not speculate without an MTP module, whatever foretoken.json says', async () => {
    write('genai_config.json', { model: { ...model, mtp: undefined } });
    write('foretoken.json', extras);
    expect(await readManifest(folder)).toMatchObject({ mtp: null, numSpecTokens: 0, maxSpecTokens: 0 });
  });

  it('never drafts more by default than at most', async () => {
    write('genai_config.json', { model });
    write('foretoken.json', { format_version: 1, max_spec_tokens: 2 });
    expect(await readManifest(folder)).toMatchObject({ numSpecTokens: 2, maxSpecTokens: 2 });
  });

  it('takes a single end-of-text id', async () => {
    write('genai_config.json', { model: { ...model, eos_token_id: 9 } });
    expect((await readManifest(folder)).eosTokenIds).toEqual([9]);
  });

  it('refuses a folder that is not there', async () => {
    folder = join(root, 'absent');
    await expectRefusal('genai_config.json', 'expected a model folder', 'ENOENT');
  });

  it('refuses a truncated configuration', async () => {
    write('genai_config.json', JSON.stringify({ model }).slice(0, 80));
    await expectRefusal('genai_config.json', 'expected JSON');
  });

  it.each([
    ['vocab_size', { ...model, vocab_size: undefined }],
    ['/model/context_length', { ...model, context_length: 'long' }],
    ['/model/context_length', { ...model, context_length: 8 }],
    ['head_size', { ...model, decoder: { ...decoder, head_size: undefined } }],
    ['hidden_states', { ...model, mtp: { ...mtp, inputs: names.inputs } }],
  ])('names %s where it is missing or wrong', async (field, given) => {
    write('genai_config.json', { model: given });
    await expectRefusal('genai_config.json', field);
  });

  it('refuses another format of foretoken.json', async () => {
    write('genai_config.json', { model });
    write('foretoken.json', { format_version: 2 });
    await expectRefusal('foretoken.json', 'format_version');
  });

  it('refuses a file whose hash differs, with both hashes', async () => {
    write('genai_config.json', { model });
    write('model.onnx', 'damaged');
    write('foretoken.json', { format_version: 1, sha256: { 'model.onnx': sha256('weights') } });
    await expectRefusal('model.onnx', 'model.onnx', sha256('weights'), sha256('damaged'));
  });

  it('refuses a folder that lacks a file with a hash', async () => {
    write('genai_config.json', { model });
    write('foretoken.json', { format_version: 1, sha256: { 'mtp.onnx': sha256('weights') } });
    await expectRefusal('mtp.onnx', 'mtp.onnx', 'ENOENT');
  });
});
