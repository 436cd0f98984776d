import { Histogram, type Registry } from 'prom-client';

const intervalMs = 50;

/** How late a timer fires: what every request on this thread waits on top. Returns the way to stop measuring. */
export function measureEventLoopLag(registry: Registry): () => void {
  const histogram = new Histogram({
    name: 'foretoken_event_loop_lag_seconds',
    help: 'How late timers fire on the thread that serves requests',
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2],
    registers: [registry],
  });
  let dueMs = performance.now() + intervalMs;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    histogram.observe(Math.max(nowMs - dueMs, 0) / 1000);
    dueMs = nowMs + intervalMs;
  }, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
