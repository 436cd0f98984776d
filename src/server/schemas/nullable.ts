import { Type, type Static, type TSchema, type TUnsafe } from 'typebox';

/** An optional field for which clients may also send null, meaning its default. */
export function nullable<Schema extends TSchema & { type: string }>(
  schema: Schema,
): ReturnType<typeof Type.Optional<TUnsafe<Static<Schema> | null>>> {
  return Type.Optional(Type.Unsafe<Static<Schema> | null>({ ...schema, type: [schema.type, 'null'] }));
}
