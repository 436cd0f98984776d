import { describe, expect, it } from 'vitest';
import { externalInitializers } from '../../../src/model/external-initializers.ts';
import { graphOf } from '../../support/onnx-weights.ts';

describe('externalInitializers', () => {
  it('reads where weights lie, and of what type and size they are', () => {
    const external = { location: 'weights.data', offset: '4096', length: '600' };
    const tensor = { name: 'head', dims: [300, 2], external };
    const expected = {
      name: 'head',
      elementType: 1,
      dims: [300, 2],
      location: 'weights.data',
      offset: 4096,
      byteLength: 600,
    };
    expect(externalInitializers(graphOf([tensor]))).toEqual([expected]);
    expect(externalInitializers(graphOf([{ ...tensor, areDimsPacked: true }]))).toEqual([expected]);
  });

  it('takes the whole file where neither offset nor length is told', () => {
    const [found] = externalInitializers(
      graphOf([{ name: 'all', dims: [7], external: { location: 'all' } }]),
    );
    expect(found).toEqual({ name: 'all', elementType: 1, dims: [7], location: 'all', offset: 0 });
  });

  it('leaves out what the graph holds itself', () => {
    const inline = { name: 'inline', dims: [3], raw: Uint8Array.of(1, 2, 3) };
    const outside = { name: 'outside', dims: [3], external: { location: 'a' } };
    expect(externalInitializers(graphOf([inline, outside])).map(({ name }) => name)).toEqual(['outside']);
  });
});
