import semver from 'semver';
import { z } from 'zod';

const range = z
  .string()
  .refine(
    (text) => semver.validRange(text) !== null,
    'expected a range such as ">=1.30 <1.36" or "1.31 - 1.35"',
  );

/** One row of `gates.addOns`: which Kubernetes releases an add-on supports. All keys are required. */
export const addOnRule = z.strictObject({
  /** Name of the add-on, for messages. */
  name: z.string().min(1),
  /** Repository of its image, without a tag; `*` matches any text, as in `*\/calico/node`. */
  image: z
    .string()
    .regex(
      /^[a-z0-9*][a-z0-9._:/*-]*$/,
      'expected an image without its tag, such as ghcr.io/flannel-io/flannel',
    )
    .refine((text) => !/:[^/]*$/.test(text), 'expected an image without its tag'),
  /** Versions of the add-on that this row covers, a semver range. */
  versions: range,
  /** Kubernetes releases that these versions support, a semver range. */
  kubernetes: range,
});

/** A row as it is after parsing. */
export type AddOnRule = z.output<typeof addOnRule>;
