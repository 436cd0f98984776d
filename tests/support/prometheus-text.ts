/** A strict reader of Prometheus' text format 0.0.4. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const samplePattern = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: (-?\d+))?$/;
const labelPattern = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== '') {
    const match = labelPattern.exec(rest);
    if (match === null) throw new Error(`not a label: ${rest}`);
    labels[match[1]!] = match[2]!.replaceAll('\\"', '"').replaceAll('\\n', '\n').replaceAll('\\\\', '\\');
    rest = rest.slice(match[0].length);
  }
  return labels;
}

function readValue(text: string): number {
  // prom-client writes 'Nan', which Prometheus reads as well.
  const special: Record<string, number> = { '+Inf': Infinity, '-Inf': -Infinity, NaN, Nan: NaN };
  const value = special[text] ?? Number(text);
  if (Number.isNaN(value) && !(text in special)) throw new Error(`not a value: ${text}`);
  return value;
}

/** Throws at the first line that is not in the format, or that belongs to no declared family. */
export function parsePrometheusText(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line must end with a line feed');
  const families = new Map<string, { type: string; help: string; samples: Sample[] }>();
  const help = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') help.set(name, rest);
    else if (keyword === 'TYPE') {
      if (families.has(name)) throw new Error(`declared twice: ${name}`);
      families.set(name, { type: rest, help: help.get(name) ?? '', samples: [] });
    } else if (line !== '' && !line.startsWith('#')) {
      const match = samplePattern.exec(line);
      if (match === null) throw new Error(`not a sample: ${line}`);
      const [, sampleName = '', labels = '', value = ''] = match;
      const family = families.get(sampleName) ?? families.get(sampleName.replace(/_(bucket|sum|count)$/, ''));
      if (family === undefined) throw new Error(`of no declared family: ${line}`);
      family.samples.push({ name: sampleName, labels: readLabels(labels), value: readValue(value) });
    }
  }
  return families;
}
