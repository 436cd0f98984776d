/** The page at `/` in a real browser; needs one: Chromium where distributions put it, or what CHROMIUM names. */
import { existsSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ServerProcess } from '../support/server-process.ts';

const executablePath = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
].find(existsSync);

describe.skipIf(executablePath === undefined)('the page', () => {
  let browser: Browser;
  let server: ServerProcess;
  let page: Page;
  let complaints: string[];
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] });
    server = new ServerProcess('src/main.ts', ['serve', '--port', '0', '--workers', '1']);
    await server.baseUrl();
  });
  afterAll(async () => {
    server.child.kill('SIGKILL');
    await server.exitCode;
    await browser.close();
  });
  beforeEach(async () => {
    page = await browser.newPage();
    complaints = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => complaints.push(message.text()));
    await page.goto(await server.baseUrl());
  });
  afterEach(() => page.close());

  test('completes behind the cursor, shows what were drafts, and takes the completion over', async () => {
    await page.locator('#model').getByText('foretoken-code-31m').waitFor();
    const prompt = 'export function add(a: number, b: number): number {\n';
    await page.fill('#prompt', prompt);
    await page.fill('#max-tokens', '24');
    await page.click('#complete');
    await page.locator('#report').getByText('speedup, measured').waitFor();
    expect(await page.locator('#report').textContent()).toContain('the same tokens');
    expect(await page.locator('#text .draft').count()).toBeGreaterThan(0);
    const answer = await fetch(`${await server.baseUrl()}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt, max_tokens: 24, temperature: 0, speculation: 'off' }),
    });
    const { choices } = (await answer.json()) as { choices: { text: string }[] };
    expect(await page.locator('#text').textContent()).toBe(prompt + choices[0]!.text);
    await page.click('#take');
    expect(await page.inputValue('#prompt')).toBe(prompt + choices[0]!.text);
    expect(complaints).toEqual([]);
  });

  test('fills in the middle where text follows the cursor', async () => {
    await page.fill('#prompt', 'const sum = ;\nexport { sum };\n');
    await page.press('#prompt', 'Control+Home');
    for (const _ of 'const sum = ') await page.press('#prompt', 'ArrowRight');
    await page.selectOption('#speculation', 'off');
    await page.fill('#max-tokens', '8');
    await page.keyboard.press('Control+Enter');
    await page.locator('#report').getByText('none').waitFor();
    const shown = (await page.locator('#text').textContent())!;
    expect(shown.startsWith('const sum = ')).toBe(true);
    expect(shown.endsWith(';\nexport { sum };\n')).toBe(true);
    expect(await page.locator('#text .draft').count()).toBe(0);
  });

  test('stops on Escape and says what the server refuses', async () => {
    await page.fill('#max-tokens', '900');
    await page.fill('#temperature', '1.5');
    await page.click('#complete');
    await page.locator('#text .target').first().waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => page.isEnabled('#complete')).toBe(true);
    expect(await page.isVisible('#error')).toBe(false);
    await page.fill('#prompt', 'word '.repeat(5000));
    await page.click('#complete');
    await page.locator('#error').getByText('context').waitFor();
  });
});
