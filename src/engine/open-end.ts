/**
 * Where a prompt's text ends in the middle of what could be one token: a model trained on whole tokens takes `\n` at the
 * end for a line that begins with no indent, and `retu` for the end of a word. So the last tokens of a prompt may give
 * way to one that begins with their text and goes on ("token healing", S. Lundberg 2023,
 * https://github.com/guidance-ai/guidance). Knows nothing of models.
 */
import { REPLACEMENT_CHARACTER } from '../tokenizer/detokenizer.ts';
import type { TextTokenizer } from '../tokenizer/tokenizer.ts';

/** Tokens that may give way at most; words and indents that are written in more are rarely one. */
const MAX_OPEN_TOKENS = 6;

/** A token of the prompt, with those behind it. */
export interface OpenToken {
  /** Of it and all behind it. */
  readonly text: string;
  /** Tokens that may take their place: they begin with `text`, and go on. */
  readonly extensions: readonly number[];
}

/** The last tokens of a prompt that may give way, in their order; the first token never does. */
export function openEnd(promptTokenIds: readonly number[], tokenizer: TextTokenizer): readonly OpenToken[] {
  const tokens: OpenToken[] = [];
  let numOpen = 0;
  const first = Math.max(1, promptTokenIds.length - MAX_OPEN_TOKENS);
  for (let position = promptTokenIds.length - 1; position >= first; position -= 1) {
    const [before, tokenIds] = [promptTokenIds.slice(position - 1, position), promptTokenIds.slice(position)];
    const extensions = tokenizer.vocabulary.extensionsOf(tokenIds);
    const text = tokenizer.textBehind(before, tokenIds);
    if (extensions === null || text.includes(REPLACEMENT_CHARACTER)) break;
    // Within a character no text begins.
    const isBetween = !tokenizer.decode(before).includes(REPLACEMENT_CHARACTER);
    tokens.unshift({ text, extensions: isBetween ? extensions : [] });
    if (tokens[0]!.extensions.length > 0) numOpen = tokens.length;
  }
  return numOpen === 0 ? [] : tokens.slice(-numOpen);
}
