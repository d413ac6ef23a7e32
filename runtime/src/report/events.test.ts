import { describe, expect, it } from 'vitest';
import { Report, type RunEvent, type Sink } from './events.ts';

const notice = (text: string): RunEvent => ({ type: 'notice', text });

/** Records the notices that it receives, each after `delay` milliseconds. */
function slowSink(name: string, delay: number): Sink & { received: string[] } {
  const received: string[] = [];
  return {
    name,
    received,
    async handle(event) {
      await new Promise((resolve) => setTimeout(resolve, delay));
      if (event.type === 'notice') received.push(event.text);
    },
  };
}

describe('a report', () => {
  it('passes every event to every sink in order, and waits for slow ones only at the end', async () => {
    const [quick, slow] = [slowSink('quick', 0), slowSink('slow', 10)];
    const report = new Report(() => {});
    report.add(quick);
    report.add(slow);
    for (const text of ['a', 'b', 'c']) report.emit(notice(text));
    expect(slow.received).toEqual([]);
    await report.flush();
    expect([quick.received, slow.received]).toEqual([
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
    ]);
  });

  it('continues after a sink fails, and names that sink', async () => {
    const failures: string[] = [];
    const report = new Report((sink, error) => failures.push(`${sink}: ${(error as Error).message}`));
    const sound = slowSink('sound', 0);
    let calls = 0;
    report.add({
      name: 'broken',
      handle() {
        calls += 1;
        throw new Error('no');
      },
    });
    report.add(sound);
    report.emit(notice('a'));
    report.emit(notice('b'));
    await report.flush();
    expect([calls, failures, sound.received]).toEqual([2, ['broken: no', 'broken: no'], ['a', 'b']]);
  });

  it('passes a sink no event from before it was added', async () => {
    const late = slowSink('late', 0);
    const report = new Report(() => {});
    report.emit(notice('before'));
    report.add(late);
    report.emit(notice('after'));
    await report.flush();
    expect(late.received).toEqual(['after']);
  });
});
