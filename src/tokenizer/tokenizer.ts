/** Text to token ids and back. Knows nothing of models or requests. */
import { Tokenizer } from '@huggingface/tokenizers';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ForetokenError } from '../errors.ts';
import { Vocabulary } from './vocabulary.ts';

/** The part of a tokenizer that turns ids into text. */
export interface TokenDecoder {
  /** Special tokens are left out; bytes that are no whole character show as U+FFFD. */
  decode(tokenIds: readonly number[]): string;
}

export class TextTokenizer implements TokenDecoder {
  readonly vocabulary: Vocabulary;
  private readonly tokenizer: Tokenizer;

  constructor(tokenizer: Tokenizer, vocabulary: Vocabulary) {
    this.tokenizer = tokenizer;
    this.vocabulary = vocabulary;
  }

  /** Special tokens that are spelt out in the text are taken as such. */
  encode(text: string): number[] {
    return this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  decode(tokenIds: readonly number[]): string {
    return tokenIds.length === 0 ? '' : this.tokenizer.decode([...tokenIds], { skip_special_tokens: true });
  }

  /** One token's own text, special tokens by name. */
  tokenText(tokenId: number): string {
    return this.tokenizer.decode([tokenId], { skip_special_tokens: false });
  }

  /** What the tokens add to the text of those before them: some tokenizers leave out the first space of a text. */
  textBehind(before: readonly number[], tokenIds: readonly number[]): string {
    return this.decode([...before, ...tokenIds]).slice(this.decode(before).length);
  }
}

/** Reads tokenizer.json and tokenizer_config.json of a model folder; throws ForetokenError `invalid_model`. */
export async function loadTokenizer(folder: string): Promise<TextTokenizer> {
  const read = async (name: string): Promise<object> => {
    const path = join(folder, name);
    try {
      return JSON.parse(await readFile(path, 'utf8')) as object;
    } catch (err) {
      throw new ForetokenError(
        'invalid_model',
        `${path}: expected a tokenizer's JSON: ${(err as Error).message}`,
        path,
      );
    }
  };
  const [tokenizer, config] = [await read('tokenizer.json'), await read('tokenizer_config.json')];
  try {
    const parsed = new Tokenizer(tokenizer, config);
    return new TextTokenizer(parsed, new Vocabulary(parsed.get_vocab(false)));
  } catch (err) {
    const path = join(folder, 'tokenizer.json');
    throw new ForetokenError('invalid_model', `${path}: not a tokenizer: ${(err as Error).message}`, path);
  }
}
