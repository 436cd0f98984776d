/** The payloads of a stream of server-sent events, as its clients parse them; `[DONE]` stays text. */
// oxlint-disable-next-line typescript/no-explicit-any
export function sseEvents(body: string): any[] {
  const frames = body.split('\n\n');
  if (frames.pop() !== '') throw new Error('the last event is not complete');
  return frames.map((frame) => {
    if (!frame.startsWith('data: ') || frame.includes('\n')) throw new Error(`not one data line: ${frame}`);
    const data = frame.slice('data: '.length);
    return data === '[DONE]' ? data : JSON.parse(data);
  });
}
