/** The benchmark's prompts: beginnings of files, written for it and in nobody's training data, four of each kind. */

export interface Prompt<Text = string> {
  readonly kind: string;
  /** Kind and number in it, as results call the prompt. */
  readonly name: string;
  readonly text: Text;
}

const byKind: Readonly<Record<string, readonly string[]>> = {
  'function bodies': [
    `import { readFile } from 'node:fs/promises';

/** Counts how often each word occurs in a text file. */
export async function countWords(path: string): Promise<Map<string, number>> {
  const text = await readFile(path, 'utf8');
  const counts = new Map<string, number>();
`,
    `export function formatDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours > 0) {
`,
    `function mergeIntervals(intervals: Array<[number, number]>): Array<[number, number]> {
  if (intervals.length === 0) {
    return [];
  }
  const sorted = [...intervals].sort((a, b) => a[0] - b[0]);
  const result: Array<[number, number]> = [sorted[0]];
  for (let i = 1; i < sorted.length; i++) {
`,
    `export const retry = async <T>(
  action: () => Promise<T>,
  options: { attempts: number; delay: number },
): Promise<T> => {
  let lastError: unknown;
  for (let attempt = 0; attempt < options.attempts; attempt++) {
    try {
`,
  ],
  'type definitions': [
    `/** A customer's order as the shop's API returns it. */
export interface Order {
  id: string;
  customerId: string;
  createdAt: Date;
  status: OrderStatus;
  items: OrderItem[];
}

export type OrderStatus = 'pending' | 'paid' | 'shipped' | 'delivered';

export interface OrderItem {
`,
    `export type DeepPartial<T> = {
  [K in keyof T]?: T[K] extends object ? DeepPartial<T[K]> : T[K];
};

export type Result<T, E = Error> =
  | { ok: true; value: T }
`,
    `export interface LoggerOptions {
  /** The least severe level that is written. */
  level?: LogLevel;

  /** Name that every line carries. */
  name?: string;

`,
    `declare module 'tiny-router' {
  export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

  export interface Route {
    method: Method;
    path: string;
    handler: (request: Request) => Response | Promise<Response>;
  }

  export interface Router {
`,
  ],
  classes: [
    `export class EventEmitter<Events extends Record<string, unknown[]>> {
  private listeners = new Map<keyof Events, Set<(...args: unknown[]) => void>>();

  on<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this {
`,
    `export class LruCache<K, V> {
  private readonly map = new Map<K, V>();

  constructor(private readonly capacity: number) {
    if (capacity < 1) {
      throw new RangeError('capacity must be at least 1');
    }
  }

  get(key: K): V | undefined {
`,
    `import { Repository } from './repository';
import { User } from './user';

@Injectable()
export class UserService {
  constructor(
    private readonly users: Repository<User>,
    private readonly logger: Logger,
  ) {}

  async findById(id: string): Promise<User | null> {
`,
    `class HttpError extends Error {
  readonly status: number;
  readonly body?: unknown;

  constructor(status: number, message: string, body?: unknown) {
    super(message);
`,
  ],
  tests: [
    `import { describe, expect, it } from 'vitest';
import { slugify } from '../src/slugify';

describe('slugify', () => {
  it('lower-cases the text', () => {
    expect(slugify('Hello World')).toBe('hello-world');
  });

  it('removes punctuation', () => {
`,
    `import { createApp } from '../app';

describe('GET /users', () => {
  const app = createApp();

  it('should return an empty list', async () => {
    const res = await app.request('/users');
    expect(res.status).toBe(200);
    expect(await res.json()).toEqual([]);
  });

  it('should return 404 for an unknown user', async () => {
`,
    `describe('parseQuery', () => {
  it.each([
    ['a=1', { a: '1' }],
    ['a=1&b=2', { a: '1', b: '2' }],
`,
    `import { render, screen, fireEvent } from '@testing-library/react';
import { Counter } from './Counter';

test('increments the count when the button is clicked', () => {
  render(<Counter initial={0} />);
`,
  ],
  JSX: [
    `import React, { useState } from 'react';

interface TodoListProps {
  items: Todo[];
  onToggle: (id: string) => void;
}

export function TodoList({ items, onToggle }: TodoListProps) {
  const [filter, setFilter] = useState('all');

  return (
    <div className="todo-list">
`,
    `export const Avatar: React.FC<AvatarProps> = ({ src, name, size = 32 }) => {
  if (!src) {
    return (
      <span className="avatar avatar--empty" style={{ width: size, height: size }}>
`,
    `import { useEffect, useRef } from 'react';

export function Modal({ isOpen, onClose, title, children }: ModalProps) {
  const ref = useRef<HTMLDialogElement>(null);

  useEffect(() => {
    if (isOpen) {
`,
    `const Layout = ({ children }: { children: ReactNode }) => (
  <html lang="en">
    <head>
      <meta charSet="utf-8" />
      <title>Dashboard</title>
    </head>
    <body>
`,
  ],
  'imports and config': [
    `import { defineConfig } from 'vite';
import react from '@vitejs/plugin-react';

export default defineConfig({
  plugins: [react()],
  server: {
`,
    `import express from 'express';
import cors from 'cors';
import helmet from 'helmet';
`,
    `module.exports = {
  root: true,
  parser: '@typescript-eslint/parser',
  plugins: ['@typescript-eslint'],
  extends: [
`,
    `{
  "name": "weather-station",
  "version": "1.2.0",
  "private": true,
  "scripts": {
    "build": "tsc",
`,
  ],
  'comments and docs': [
    `/**
 * Splits a string into lines, keeping the line breaks.
 *
 * @param text - The text to split.
 * @param options - How to treat the last line.
 * @returns`,
    `// Copyright 2026 The Authors. All rights reserved.
// Use of this source code is governed by a licence that can be found in the LICENSE file.

// This file implements a small scheduler. Tasks are kept in a priority queue, ordered by the time at which
// they should`,
    `/**
 * The configuration of a connection pool.
 *
 * ## Example
 *
 * \`\`\`ts
 * const pool = createPool({
`,
    `export interface CacheOptions {
  /**
   * How long an entry is kept, in milliseconds.
   *
   * @default 60000
   */
  ttl?: number;

  /**
`,
  ],
  'SQL and Python in strings': [
    `export const createTables = \`
  CREATE TABLE users (
    id SERIAL PRIMARY KEY,
    email VARCHAR(255) NOT NULL UNIQUE,
    created_at TIMESTAMP NOT NULL DEFAULT NOW()
  );

  CREATE TABLE posts (
`,
    `const rows = await db.query(
  \`SELECT u.id, u.name, COUNT(o.id) AS orders
   FROM users u
   LEFT JOIN orders o ON`,
    `const script = \`
import json
import sys

def main():
    data = json.load(sys.stdin)
    for item in data:
`,
    `await queryRunner.query(
  'ALTER TABLE "user" ADD COLUMN "last_login" timestamp',
);
await queryRunner.query(
`,
  ],
};

export const prompts: readonly Prompt[] = Object.entries(byKind).flatMap(([kind, texts]) =>
  texts.map((text, index) => ({ kind, name: `${kind} ${index + 1}`, text })),
);

/** As many different prompts as asked for: the above, then ever shorter beginnings of them. */
export function manyPrompts(count: number): Prompt[] {
  const shares = [1, 0.75, 0.5, 0.35, 0.2];
  const all = shares.flatMap((share) =>
    prompts.map((prompt) => ({
      ...prompt,
      text: prompt.text.slice(0, Math.ceil(prompt.text.length * share)),
    })),
  );
  if (count > all.length) throw new RangeError(`expected at most ${all.length} prompts, got ${count}`);
  return all.slice(0, count);
}
