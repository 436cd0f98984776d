import { afterAll, beforeAll, expect, test } from 'vitest';
import { testApp, type TestApp } from '../support/test-app.ts';

let server: TestApp;
beforeAll(async () => {
  server = await testApp();
});
afterAll(() => server.close());

const model = {
  id: 'scripted',
  object: 'model',
  created: 1_700_000_000,
  owned_by: 'foretoken',
  max_model_len: 1024,
  speculative: { method: 'mtp', num_spec_tokens: 3 },
};

test('GET /v1/models lists the loaded model, and gives it by its id', async () => {
  const list = await server.app.inject('/v1/models');
  expect(list.json()).toEqual({ object: 'list', data: [model] });
  const one = await server.app.inject('/v1/models/scripted');
  expect(one.json()).toEqual(model);
});

test('/openapi.json describes the routes by the schemas that validate', async () => {
  const response = await server.app.inject('/openapi.json');
  const { openapi, paths } = response.json<{
    openapi: string;
    paths: Record<string, Record<string, unknown>>;
  }>();
  expect(openapi).toBe('3.1.0');
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((m) => `${m} ${path}`),
  );
  expect(routes.toSorted()).toEqual([
    'get /health',
    'get /metrics',
    'get /ready',
    'get /v1/models',
    'get /v1/models/{id}',
    'post /v1/chat/completions',
    'post /v1/completions',
  ]);
  expect(paths['/v1/completions']!['post']).toMatchObject({
    requestBody: {
      content: {
        'application/json': {
          schema: {
            additionalProperties: false,
            properties: { temperature: { type: ['number', 'null'], minimum: 0, maximum: 2, default: 1 } },
          },
        },
      },
    },
  });
});
