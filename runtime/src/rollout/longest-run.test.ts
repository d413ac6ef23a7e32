import { describe, expect, it, test } from 'vitest';
import { testSettings } from '../testing/cluster.ts';
import { longestRun } from './longest-run.ts';

const hour = 3_600_000;

describe('the longest run', () => {
  it("of five nodes is far longer than the agent service's own time-out of 2700 s (F2)", () => {
    const settings = testSettings();
    const { alertWait } = settings.gates;
    const { soak, script, nodeReady } = settings.timing;
    const perNode = 3 * alertWait + settings.drain.timeout + script + nodeReady + soak;
    expect(longestRun(5, settings)).toBeGreaterThan(5 * perNode);
    expect(longestRun(5, settings)).toBeLessThan(44 * hour);
  });

  it('grows by the same amount with every node', () => {
    const settings = testSettings();
    const step = longestRun(2, settings) - longestRun(1, settings);
    expect(longestRun(12, settings)).toBe(longestRun(1, settings) + 11 * step);
  });

  it('is shorter by a wait for the gates and a script where a node is drained before kubeadm', () => {
    const settings = testSettings();
    const difference =
      longestRun(3, settings) - longestRun(3, testSettings({ drain: { before: 'kubeadm' } }));
    const { timing, gates, ssh } = settings;
    const untilUp = timing.nodeReady + timing.staticPods;
    expect(difference).toBe(3 * (2 * gates.alertWait + timing.script + ssh.reconnectTimeout + untilUp));
  });

  it("does not depend on drain.blockedPods, whose waits end within the drain's time-out", () => {
    const blockedPods = [{ namespaces: ['apps'], wait: '7m', deleteAfter: '7m' }];
    expect(longestRun(5, testSettings({ drain: { blockedPods } }))).toBe(longestRun(5, testSettings()));
  });

  test.each([
    ['soak', { timing: { soak: '2h' } }],
    ['soak of the control plane', { timing: { controlPlaneSoak: '2h' } }],
    ['script', { timing: { script: '2h' } }],
    ['nodeReady', { timing: { nodeReady: '2h' } }],
    ['wait for static pods', { timing: { staticPods: '2h' } }],
    ['alert wait', { gates: { alertWait: '2h' } }],
    ['drain', { drain: { timeout: '2h' } }],
    ['reconnection', { ssh: { reconnectTimeout: '2h' } }],
  ])('leaves room for a longer %s on every node', (_what, change) => {
    expect(longestRun(5, testSettings(change))).toBeGreaterThan(longestRun(5, testSettings()) + 5 * hour);
  });
});
