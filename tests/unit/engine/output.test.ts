import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OutputText } from '../../../src/engine/output.ts';

/** Tokens are bytes. */
const bytes = {
  decode: (tokenIds: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(tokenIds)),
};

function run(text: string, stops: readonly string[]): { deltas: string[]; isStopped: boolean } {
  const output = new OutputText(bytes, stops);
  const deltas: string[] = [];
  for (const byte of new TextEncoder().encode(text)) {
    const step = output.push(byte);
    deltas.push(step.text);
    if (step.isStopped) return { deltas, isStopped: true };
  }
  const rest = output.flush();
  return { deltas: [...deltas, rest.text], isStopped: rest.isStopped };
}

describe('OutputText', () => {
  it('ends before a stop string that spans tokens', () => {
    const { deltas, isStopped } = run('let a = 1;\n\nlet b', ['\n\n']);
    expect(deltas.join('')).toBe('let a = 1;');
    expect(isStopped).toBe(true);
  });

  it('holds back the beginning of a stop string, and lets it go when it is none', () => {
    const { deltas } = run('ab<en<end>', ['<end>']);
    expect(deltas.join('')).toBe('ab<en');
  });

  it('takes the stop that comes first in the text', () => {
    expect(run('one two three', ['three', 'wo']).deltas.join('')).toBe('one t');
  });

  it('shows a character when its last byte is there', () => {
    const { deltas } = run('é漢😀', []);
    expect(deltas.filter((delta) => delta !== '')).toEqual(['é', '漢', '😀']);
  });

  it('shows an unfinished character at the end as U+FFFD', () => {
    const output = new OutputText(bytes, []);
    expect(output.push(0xe6).text).toBe('');
    expect(output.flush().text).toBe('\ufffd');
  });

  it('is the text up to the first stop, for any text and stops', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '\n'), maxLength: 40 });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '\n'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(letters, fc.array(stop, { maxLength: 4 }), (text, stops) => {
        // The stop that is completed first ends the text; of those completed at once, the one that begins first.
        let expected = text;
        for (let end = 1; end <= text.length; end += 1) {
          const starts = stops.map((each) => text.slice(0, end).indexOf(each)).filter((index) => index >= 0);
          if (starts.length > 0) {
            expected = text.slice(0, Math.min(...starts));
            break;
          }
        }
        expect(run(text, stops).deltas.join('')).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });
});
