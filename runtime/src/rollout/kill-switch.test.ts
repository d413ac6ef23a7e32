import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import { connect, startLab } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import { assertNotHalted, ConfigMapKillSwitch } from './kill-switch.ts';

let lab: TestLab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab.stop());

it('may be set, set again with another reason, and lifted, each more than once', async () => {
  const killSwitch = new ConfigMapKillSwitch(connect(lab), 'k8s-upgrade');
  expect(await killSwitch.reason()).toBeUndefined();
  await assertNotHalted(killSwitch);
  for (const reason of ['disk swap', 'disk swap on k8s-node2', 'disk swap on k8s-node2']) {
    await killSwitch.set(reason);
    expect(await killSwitch.reason()).toBe(reason);
    expect(await rejection(assertNotHalted(killSwitch))).toMatchObject({
      code: 'blocked',
      reasons: [reason],
    });
  }
  expect([await killSwitch.lift(), await killSwitch.lift()]).toEqual([true, false]);
  expect(await killSwitch.reason()).toBeUndefined();
});

it('is set when the ConfigMap exists, whatever it contains', async () => {
  const metadata = { name: 'k8s-upgrade-killswitch', namespace: 'k8s-upgrade' };
  lab.api.apply([{ apiVersion: 'v1', kind: 'ConfigMap', metadata }]);
  const killSwitch = new ConfigMapKillSwitch(connect(lab), 'k8s-upgrade');
  expect(await killSwitch.reason()).toBe('no reason given');
});
