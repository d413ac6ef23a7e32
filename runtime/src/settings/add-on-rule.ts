import semver from 'semver';
import { z } from 'zod';

const range = z
  .string()
  .refine(
    (text) => semver.validRange(text) !== null,
    'expected a range such as ">=1.30 <1.36" or "1.31 - 1.35"',
  );

/** One row of the operator's own table: what a version of an add-on supports, by the add-on's documentation. */
export const addOnRule = z.strictObject({
  name: z.string().min(1),
  /** Repository of its image without tag; `*` stands for any text: `*\/calico/node`. */
  image: z
    .string()
    .regex(
      /^[a-z0-9*][a-z0-9._:/*-]*$/,
      'expected an image without its tag, such as ghcr.io/flannel-io/flannel',
    )
    .refine((text) => !/:[^/]*$/.test(text), 'expected an image without its tag'),
  /** Which versions of the add-on this row is about. */
  versions: range,
  /** The Kubernetes releases that these support. */
  kubernetes: range,
});

export type AddOnRule = z.output<typeof addOnRule>;
