import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Outage } from './outage.ts';

let notices: string[] = [];
let outage: Outage;
const away = new Error('read node one: no answer');

beforeEach(() => {
  vi.useFakeTimers();
  notices = [];
  outage = new Outage((notice) => notices.push(notice));
});
afterEach(() => {
  vi.useRealTimers();
});

it('is reported once, with how long requests are repeated, and once when it is over', () => {
  const [one, two] = [outage.track(), outage.track()];
  one.failed(away, 90_000);
  two.failed(away, 90_000);
  one.failed(away, 90_000);
  expect(notices).toEqual(['read node one: no answer; trying again for up to 1m30s']);
  vi.advanceTimersByTime(75_000);
  one.ended(true);
  two.ended(true);
  outage.track().ended(true);
  expect(notices.slice(1)).toEqual(['the API server answers again, after 1m15s']);
  outage.track().failed(away, 90_000);
  expect(notices).toHaveLength(3);
});

it('is not over while another request is repeated, which the server may refuse alone', () => {
  const refused = outage.track();
  refused.failed(away, 90_000);
  outage.track().ended(true);
  refused.failed(away, 90_000);
  expect(notices).toHaveLength(1);
  refused.ended(true);
  expect(notices).toHaveLength(2);
});

it('is not over when a request gives up, but with the next answer', () => {
  const one = outage.track();
  one.failed(away, 90_000);
  one.ended(false);
  expect(notices).toHaveLength(1);
  outage.track().ended(true);
  expect(notices).toHaveLength(2);
});

it('is not reported without one', () => {
  outage.track().ended(true);
  outage.track().ended(false);
  expect(notices).toEqual([]);
});
