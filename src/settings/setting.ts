/** How one setting is named, parsed, defaulted and explained. Knows no setting. */

export interface Setting<Value> {
  readonly flag: string;
  /** The first that is set counts. */
  readonly env: readonly string[];
  readonly placeholder: string;
  /** As text, parsed like any other value. */
  readonly default?: string;
  /** The value where nothing is said and no text could stand for it; absent where it must be looked up. */
  readonly absent?: Value;
  readonly description: string;
  readonly expected: string;
  /** Undefined: not as expected. */
  readonly parse: (text: string) => Value | undefined;
  /** A flag without a value that stands for `off`. */
  readonly offFlag?: string;
  /** Whether the flag may come several times. */
  readonly isList?: boolean;
  /** Whether its value must not be in a message. */
  readonly isSecret?: boolean;
}

/** What a table of settings comes to. */
export type ValuesOf<Table extends Record<string, Setting<unknown>>> = {
  readonly [Name in keyof Table]: Table[Name] extends Setting<infer Value> ? Value : never;
};

type Kind<Value> = Pick<Setting<Value>, 'expected' | 'parse'>;

export function text(): Kind<string> {
  return { expected: 'a non-empty text', parse: (value) => (value === '' ? undefined : value) };
}

export function number(minimum: number, maximum: number, integer = true): Kind<number> {
  return {
    expected: `${integer ? 'an integer' : 'a number'} from ${minimum} to ${maximum}`,
    parse: (value) => {
      const parsed = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN;
      return parsed >= minimum && parsed <= maximum && (!integer || Number.isInteger(parsed))
        ? parsed
        : undefined;
    },
  };
}

export function oneOf<const Value extends string>(values: readonly Value[]): Kind<Value> {
  return { expected: values.join(' | '), parse: (value) => values.find((allowed) => allowed === value) };
}

/** One value or more, with commas between them. */
export function listOf<Value>({
  expected,
  parse,
}: Kind<Value>): Kind<readonly Value[]> & Required<Pick<Setting<readonly Value[]>, 'absent' | 'isList'>> {
  return {
    expected: `${expected}, or several with commas between`,
    absent: [],
    isList: true,
    parse: (value) => {
      const parts = value.split(',').map((part) => parse(part.trim()));
      return parts.every((part) => part !== undefined) ? parts : undefined;
    },
  };
}
