import { expect, test } from 'vitest';
import { generateKeyPair } from '../../../test/lab/nodes/ssh.ts';
import { connect, startLab } from '../testing/api.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection, temporaryFile } from '../testing/files.ts';
import { openNodeShell } from './open-shell.ts';

const { privateKey, publicKey } = generateKeyPair();

test.each([
  ['text that is not a key', 'hunter2 hunter2'],
  ['a public key', publicKey],
  ['half a key', privateKey.slice(0, privateKey.length / 2)],
])('a key file with %s is bad input, and the error does not show its text', async (_what, text) => {
  const lab = await startLab();
  const privateKeyFile = temporaryFile(text);
  const settings = testSettings({ ssh: { privateKeyFile } });
  const error = await rejection(
    openNodeShell(connect(lab), settings, {
      readOnly: true,
      signal: new AbortController().signal,
      onLine: () => {},
      onNotice: () => {},
      mayWrite: async () => {},
    }),
  ).finally(() => lab.stop());
  expect(error).toMatchObject({ code: 'badInput' });
  expect(error.message).toContain(`ssh.privateKeyFile: ${JSON.stringify(privateKeyFile)}`);
  expect(error.message).not.toContain(text.slice(0, 20));
});
