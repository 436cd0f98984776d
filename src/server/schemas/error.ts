import { Type } from 'typebox';

export const errorSchema = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: Type.Union([Type.String(), Type.Null()], { description: 'The field at fault.' }),
    code: Type.String(),
  }),
});
