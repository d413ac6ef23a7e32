import { isIP } from 'node:net';
import { z } from 'zod';
import { durationFormat, parseDuration } from '../duration.ts';
import { isRelease } from '../release.ts';

/** What a setting may be: each names what it expects. */

/** `//user:password@`, and `//user@`. */
export const userInUrl = /\/\/[^/?#]*@/;

export const duration = z.string({ error: `expected ${durationFormat}` }).transform((text, ctx) => {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  ctx.addIssue({ code: 'custom', message: `expected ${durationFormat}`, input: text });
  return z.NEVER;
});
/** No timer can be set further ahead than 2^31 ms. */
const longestTimer = 24 * 86_400_000;
export const positiveDuration = duration.refine(
  (ms) => ms > 0 && ms <= longestTimer,
  'expected a duration above zero and up to 24d',
);
/** No request can be made to a URL with a password in it, and errors show URLs. */
export const httpUrl = z
  .url({ protocol: /^https?$/, error: 'expected an http:// or https:// URL' })
  .refine((url) => !userInUrl.test(url), 'expected a URL without user and password');
export const absolutePath = z
  .string()
  .regex(/^\/[A-Za-z0-9._/-]*$/, 'expected an absolute path of letters, digits and . _ - /')
  .refine((path) => !path.split('/').includes('..'), 'expected a path without ".."');
export const dnsLabel = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'expected a DNS label such as k8s-upgrade');
export const dnsName = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/,
    'expected a DNS name such as example.com',
  );
export const release = z.string().refine(isRelease, 'expected a release X.Y.Z such as 1.34.5');
export const kubeadmWord = z.string().regex(/^[A-Za-z0-9/-]+$/, 'expected letters, digits, - and / only');

/** A node's name as the API knows it. An address is not one (F25). */
export const nodeName = dnsName.refine(
  (name) => isIP(name) === 0,
  'expected the name of a Node, not an address',
);

export const nodeOrder = z
  .array(nodeName)
  .refine((names) => new Set(names).size === names.length, 'expected every node once')
  .default([]);
