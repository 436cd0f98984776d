/** Token ids to visible text: whole characters only, and nothing of a stop string. Knows nothing of events. */
import { Detokenizer } from '../tokenizer/detokenizer.ts';
import type { TokenDecoder } from '../tokenizer/tokenizer.ts';

export interface OutputStep {
  /** What became visible. */
  readonly text: string;
  /** Whether a stop string was completed: nothing may follow. */
  readonly isStopped: boolean;
}

export class OutputText {
  private readonly detokenizer: Detokenizer;
  private readonly stops: readonly string[];
  /** Decoded text that may yet turn out to begin a stop string. */
  private held = '';
  /** Characters to come that are the prompt's. */
  private numKnown: number;

  /** `before`: tokens of the prompt before the first one; `known`: text that the first token begins with and the prompt has. */
  constructor(decoder: TokenDecoder, stops: readonly string[], before: readonly number[] = [], known = '') {
    this.detokenizer = new Detokenizer(decoder, before);
    this.stops = stops;
    this.numKnown = known.length;
  }

  push(tokenId: number): OutputStep {
    return this.advance(this.newText(this.detokenizer.push(tokenId)), false);
  }

  /** The rest of the text, once no token follows. */
  flush(): OutputStep {
    return this.advance(this.newText(this.detokenizer.flush()), true);
  }

  private newText(decoded: string): string {
    const text = decoded.slice(this.numKnown);
    this.numKnown -= decoded.length - text.length;
    return text;
  }

  private advance(decoded: string, isLast: boolean): OutputStep {
    const text = this.held + decoded;
    const stopAt = Math.min(...this.stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0));
    if (Number.isFinite(stopAt)) {
      this.held = '';
      return { text: text.slice(0, stopAt), isStopped: true };
    }
    const numHeld = isLast ? 0 : this.longestBeginning(text);
    this.held = text.slice(text.length - numHeld);
    return { text: text.slice(0, text.length - numHeld), isStopped: false };
  }

  /** Length of the longest end of `text` that begins a stop string. */
  private longestBeginning(text: string): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length -= 1) {
        if (text.endsWith(stop.slice(0, length))) {
          longest = length;
          break;
        }
      }
    }
    return longest;
  }
}
