/** Turns what ajv found into one sentence: the field, what was expected, what came. */
import type { FastifySchemaValidationError } from 'fastify';
import { ForetokenError } from '../errors.ts';

/** With ajv's `verbose`, an error also carries the value and the schema that refused it. */
interface VerboseError extends FastifySchemaValidationError {
  readonly data?: unknown;
  readonly parentSchema?: SchemaNode;
}

interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly 'x-expected'?: string;
}

const maxShownLength = 40;

export function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (value !== null && typeof value === 'object') return 'an object';
  if (typeof value === 'string' && value.length > maxShownLength)
    return `a string of ${value.length} characters`;
  return JSON.stringify(value);
}

function expectedNumber(schema: SchemaNode, noun: string): string {
  const { minimum, maximum, exclusiveMinimum } = schema;
  if (exclusiveMinimum !== undefined) return `${noun} above ${exclusiveMinimum} and at most ${maximum}`;
  if (minimum !== undefined && maximum !== undefined) return `${noun} from ${minimum} to ${maximum}`;
  return minimum === undefined ? noun : `${noun} of at least ${minimum}`;
}

function expectedArray({ minItems = 0, maxItems }: SchemaNode): string {
  if (maxItems !== undefined) return `an array of ${minItems} to ${maxItems} items`;
  return minItems > 0 ? 'a non-empty array' : 'an array';
}

export function describeExpected(schema: SchemaNode): string {
  if (schema['x-expected'] !== undefined) return schema['x-expected'];
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? []);
  const type: string = types.find((one) => one !== 'null') ?? '';
  switch (type) {
    case 'integer':
      return expectedNumber(schema, 'an integer');
    case 'number':
      return expectedNumber(schema, 'a number');
    case 'string':
      return (schema.minLength ?? 0) > 0 ? 'a non-empty string' : 'a string';
    case 'boolean':
      return 'true or false';
    case 'array':
      return expectedArray(schema);
    case 'object':
      return 'an object';
    default:
      return 'another value';
  }
}

/** `/prompt/3/0` becomes `prompt[3][0]`, `/stream_options/include_usage` becomes `stream_options.include_usage`. */
export function fieldName(instancePath: string): string {
  const parts = instancePath.split('/').slice(1);
  return parts
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part, index) => (/^\d+$/.test(part) ? `[${part}]` : `${index === 0 ? '' : '.'}${part}`))
    .join('');
}

const depth = (error: VerboseError): number => error.instancePath.split('/').length;
const elementIndex = (error: VerboseError): number => Number(/\/(\d+)$/.exec(error.instancePath)?.[1] ?? -1);

/**
 * Of a union's errors the one that got furthest into the value says most. That a value, or the first element of an
 * array, has the type of another alternative says nothing; then the union speaks for itself.
 */
function mostTelling(errors: readonly VerboseError[]): VerboseError {
  const last = errors.at(-1)!;
  if (last.keyword !== 'anyOf') return last;
  const isTelling = (error: VerboseError): boolean =>
    error.keyword !== 'anyOf' && (!['type', 'const'].includes(error.keyword) || elementIndex(error) > 0);
  const [telling] = errors
    .filter(isTelling)
    .toSorted((a, b) => depth(b) - depth(a) || elementIndex(b) - elementIndex(a));
  return telling ?? last;
}

export function validationError(errors: readonly FastifySchemaValidationError[]): ForetokenError {
  const error = mostTelling(errors);
  const field = fieldName(error.instancePath);
  const inside = (name: string): string => (field === '' ? name : `${field}.${name}`);
  const { additionalProperty, missingProperty } = error.params;
  if (typeof additionalProperty === 'string') {
    const name = inside(additionalProperty);
    return new ForetokenError('invalid_request', `${name}: unknown or unsupported field`, name);
  }
  if (typeof missingProperty === 'string') {
    const name = inside(missingProperty);
    return new ForetokenError('invalid_request', `${name}: required, got nothing`, name);
  }
  const expected = describeExpected(error.parentSchema ?? {});
  const message = `expected ${expected}, got ${describeValue(error.data)}`;
  if (field === '') return new ForetokenError('invalid_request', `body: ${message}`);
  return new ForetokenError('invalid_request', `${field}: ${message}`, field);
}
