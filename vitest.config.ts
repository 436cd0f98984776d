import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    // As the engine sets it; some tests load ONNX Runtime by themselves.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    globalSetup: ['tests/support/build.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A busy machine may be slow to get where it is polled for.
    expect: { poll: { timeout: 20_000 } },
    // Two ONNX Runtime thread pools on one small machine only slow each other down.
    fileParallelism: false,
  },
});
