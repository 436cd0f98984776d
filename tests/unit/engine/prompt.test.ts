import { beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../../src/config.ts';
import type { GenerationRequest, ModelDescription } from '../../../src/engine/generation.ts';
import {
  checkRequest,
  encodePrompt,
  resolveSpeculation,
  type EncodedPrompt,
} from '../../../src/engine/prompt.ts';
import { loadTokenizer, type TextTokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { generationRequest } from '../../support/generation-request.ts';
import { samplingParams } from '../../support/sampling.ts';

const model: ModelDescription = {
  id: 'tiny',
  created: 0,
  vocabSize: 100,
  maxModelLength: 50,
  supportsSuffix: true,
  hasChatTemplate: false,
  numSpecTokens: 3,
  maxSpecTokens: 8,
};
const fim = { prefix: 1, suffix: 2, middle: 3, order: 'psm' } as const;
const ids = (count: number): number[] => Array.from({ length: count }, () => 7);

describe('checkRequest', () => {
  const refusal = (request: Partial<GenerationRequest>, other: Partial<ModelDescription> = {}): unknown => {
    try {
      checkRequest(generationRequest(request), { ...model, ...other });
      return null;
    } catch (error) {
      return error;
    }
  };

  it('lets a request through that the model can serve', () => {
    expect(refusal({ prompt: 'a', suffix: 'b' })).toBeNull();
    const speculation = { maxDraftTokens: 8, adaptive: false, measureBaseline: true };
    const sampling = samplingParams({ logitBias: new Map([[99, 1]]) });
    expect(refusal({ prompt: [0, 99], sampling, speculation })).toBeNull();
  });

  it.each([
    [[5, 100, -1], 'got 100 at index 1'],
    [[5, 6, -1], 'got -1 at index 2'],
    [[0.5], 'got 0.5 at index 0'],
  ])('refuses the token ids %j', (prompt, found) => {
    expect(refusal({ prompt })).toMatchObject({
      code: 'invalid_request',
      param: 'prompt',
      message: `expected token ids from 0 to 99 in 'prompt', ${found}`,
    });
  });

  it('refuses a bias on a token that does not exist', () => {
    const logitBias = new Map([
      [5, 1],
      [123, 1],
    ]);
    expect(refusal({ sampling: samplingParams({ logitBias }) })).toMatchObject({
      code: 'invalid_request',
      param: 'logit_bias',
      message: expect.stringContaining('got 123 at index 1') as string,
    });
  });

  it('refuses a suffix where the model cannot fill in, and beside token ids', () => {
    expect(refusal({ suffix: 'b' }, { supportsSuffix: false })).toMatchObject({
      code: 'suffix_not_supported',
      param: 'suffix',
      message: expect.stringContaining("'tiny'") as string,
    });
    expect(refusal({ prompt: [1], suffix: 'b' })).toMatchObject({ code: 'invalid_request', param: 'prompt' });
  });

  it('refuses more drafts than the model verifies', () => {
    expect(
      refusal({ speculation: { maxDraftTokens: 9, adaptive: true, measureBaseline: false } }),
    ).toMatchObject({
      code: 'invalid_request',
      param: 'speculation.num_draft_tokens',
      message: "expected 'speculation.num_draft_tokens' to be at most 8, got 9",
    });
  });
});

describe('encodePrompt', () => {
  let tokenizer: TextTokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(defaultModelFolder());
  });

  const encode = (request: Partial<GenerationRequest>): EncodedPrompt =>
    encodePrompt(generationRequest(request), model, tokenizer, fim);

  it('takes token ids as they are, and a text by its tokens', () => {
    expect(encode({ prompt: [9, 8, 7] }).tokenIds).toEqual([9, 8, 7]);
    const text = encode({ prompt: 'return a;' }).tokenIds;
    expect(text).toEqual(tokenizer.encode('return a;'));
    expect(tokenizer.decode(text)).toBe('return a;');
  });

  it('begins a text where the prompt is empty', () => {
    const [endOfText] = tokenizer.encode('<|endoftext|>');
    expect(encode({ prompt: '' }).tokenIds).toEqual([endOfText]);
    expect(encode({ prompt: [] }).tokenIds).toEqual([endOfText]);
  });

  it('leaves the end of a text open, not that of token ids, nor where it would be in the way', () => {
    const prompt = 'if (a) {\n  retu';
    const open = encode({ prompt }).openEnd;
    expect(open[0]!.text).toBe('retu');
    expect(open[0]!.extensions).toContain(tokenizer.encode('return')[0]);
    expect(encode({ prompt: tokenizer.encode(prompt) }).openEnd).toEqual([]);
    expect(encode({ prompt: '' }).openEnd).toEqual([]);
    expect(encode({ prompt, logprobs: 0 }).openEnd).toEqual([]);
    expect(encode({ prompt, tokenHealing: false }).openEnd).toEqual([]);
  });

  it('leaves a prefix open only where it is last', () => {
    expect(encode({ prompt: 'a retu', suffix: ';\n' }).openEnd).toEqual([]);
    const request = generationRequest({ prompt: 'a retu', suffix: ';\n' });
    const { openEnd } = encodePrompt(request, model, tokenizer, { ...fim, order: 'spm' });
    expect(openEnd[0]!.text).toBe(' retu');
  });

  it('puts prefix, then suffix, then the middle to come', () => {
    const { tokenIds } = encode({ prompt: 'let a', suffix: ';\n' });
    expect(tokenIds).toEqual([1, ...tokenizer.encode('let a'), 2, ...tokenizer.encode(';\n'), 3]);
  });

  it('puts the suffix first where the model was trained so', () => {
    const request = generationRequest({ prompt: 'let a', suffix: ';\n' });
    const { tokenIds } = encodePrompt(request, model, tokenizer, { ...fim, order: 'spm' });
    expect(tokenIds).toEqual([1, 2, ...tokenizer.encode(';\n'), 3, ...tokenizer.encode('let a')]);
  });

  it('keeps an empty prefix and an empty suffix', () => {
    expect(encode({ prompt: '', suffix: ';' }).tokenIds).toEqual([1, 2, ...tokenizer.encode(';'), 3]);
    expect(encode({ prompt: 'a', suffix: '' }).tokenIds).toEqual([1, ...tokenizer.encode('a'), 2, 3]);
  });

  it('generates as much as is asked for, else as much as fits', () => {
    expect(encode({ prompt: ids(20), maxTokens: 5 }).maxTokens).toBe(5);
    expect(encode({ prompt: ids(20), maxTokens: 30 }).maxTokens).toBe(30);
    expect(encode({ prompt: ids(20) }).maxTokens).toBe(30);
    expect(encode({ prompt: ids(49) }).maxTokens).toBe(1);
  });

  it.each([
    [20, 31, 51, 'max_tokens'],
    [49, 2, 51, 'max_tokens'],
    [50, 1, 51, 'prompt'],
    [70, 5, 75, 'prompt'],
  ])('refuses %i tokens of prompt and %i of completion', (numPrompt, maxTokens, numTotal, param) => {
    expect(() => encode({ prompt: ids(numPrompt), maxTokens })).toThrow(
      expect.objectContaining({
        code: 'context_length_exceeded',
        param,
        message:
          `This model's maximum context length is 50 tokens. However, you requested ${numTotal} tokens ` +
          `(${numPrompt} in the prompt, ${maxTokens} in the completion).`,
      }) as Error,
    );
  });

  it('refuses a prompt that leaves no room where no length is given', () => {
    expect(() => encode({ prompt: ids(50) })).toThrow('(50 in the prompt, 1 in the completion)');
  });
});

describe('resolveSpeculation', () => {
  const asked = { maxDraftTokens: 5, adaptive: false, measureBaseline: true };

  it('takes what the request says, whatever the server does', () => {
    const request = generationRequest({ speculation: asked });
    expect(resolveSpeculation(request, model, { speculation: 'auto', numDraftTokens: 2 })).toEqual(asked);
    expect(resolveSpeculation(request, model, { speculation: 'off' })).toEqual(asked);
  });

  it.each([
    [{ speculation: 'auto' as const }, 3],
    [{ speculation: 'auto' as const, numDraftTokens: 6 }, 6],
    [{ speculation: 'auto' as const, numDraftTokens: 20 }, 8],
    [{ speculation: 'off' as const, numDraftTokens: 6 }, 0],
  ])('drafts by default, with %j, adaptively at most %i', (server, maxDraftTokens) => {
    const expected = { maxDraftTokens, adaptive: true, measureBaseline: false };
    expect(resolveSpeculation(generationRequest(), model, server)).toEqual(expected);
  });

  it('never drafts without an MTP module', () => {
    const plain = { ...model, numSpecTokens: 0, maxSpecTokens: 0 };
    const server = { speculation: 'auto', numDraftTokens: 4 } as const;
    expect(resolveSpeculation(generationRequest(), plain, server).maxDraftTokens).toBe(0);
    expect(resolveSpeculation(generationRequest({ speculation: asked }), plain, server).maxDraftTokens).toBe(
      0,
    );
  });
});
