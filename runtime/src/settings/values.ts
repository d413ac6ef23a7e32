import { isIP } from 'node:net';
import { z } from 'zod';
import { durationFormat, parseDuration } from '../duration.ts';
import { isRelease } from '../release.ts';

/** Schemas of single values. Their messages say what is expected. */

/** Matches `//user:password@` and `//user@`. */
export const userInUrl = /\/\/[^/?#]*@/;

/** A duration such as `10m` → milliseconds; may be zero. */
export const duration = z.string({ error: `expected ${durationFormat}` }).transform((text, ctx) => {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  ctx.addIssue({ code: 'custom', message: `expected ${durationFormat}`, input: text });
  return z.NEVER;
});
/** Timers overflow above 2^31 ms, which is 24.8 days. */
const longestTimer = 24 * 86_400_000;
/** A duration for a timer, above zero and up to 24d → milliseconds. */
export const positiveDuration = duration.refine(
  (ms) => ms > 0 && ms <= longestTimer,
  'expected a duration above zero and up to 24d',
);
/** An http or https URL. No user or password: fetch refuses such URLs, and errors show them. */
export const httpUrl = z
  .url({ protocol: /^https?$/, error: 'expected an http:// or https:// URL' })
  .refine((url) => !userInUrl.test(url), 'expected a URL without user and password');
/** An absolute path that is safe in a command line. */
export const absolutePath = z
  .string()
  .regex(/^\/[A-Za-z0-9._/-]*$/, 'expected an absolute path of letters, digits and . _ - /')
  .refine((path) => !path.split('/').includes('..'), 'expected a path without ".."');
/** A DNS label, such as the name of a namespace. */
export const dnsLabel = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'expected a DNS label such as k8s-upgrade');
/** A DNS name of one or more labels. */
export const dnsName = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/,
    'expected a DNS name such as example.com',
  );
/** A release `X.Y.Z`. */
export const release = z.string().refine(isRelease, 'expected a release X.Y.Z such as 1.34.5');
/** One value of a kubeadm flag, safe in a command line. */
export const kubeadmWord = z.string().regex(/^[A-Za-z0-9/-]+$/, 'expected letters, digits, - and / only');

/** A change of kubeadm: the component, and the field that it changes. */
export const changeName = z
  .string()
  .regex(/^[a-z][a-z-]*( \S+)?$/, 'expected a component and a field, such as "kubelet maxPods"');

/** The name of a Node object, not an address (F25). */
export const nodeName = dnsName.refine(
  (name) => isIP(name) === 0,
  'expected the name of a Node, not an address',
);

/** Names of nodes in the order of their upgrade, each at most once. Default: none. */
export const nodeOrder = z
  .array(nodeName)
  .refine((names) => new Set(names).size === names.length, 'expected every node once')
  .default([]);
