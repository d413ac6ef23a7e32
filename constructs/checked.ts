import type { Construct } from 'constructs';

/**
 * Reads a prop that may be wrong. An error that `read` throws becomes a validation of `scope`, so that
 * synthesis reports it with the construct's path. `fallback` is returned instead, so that the rest of the
 * tree is built and synthesis reports every wrong prop at once.
 */
export function checked<T>(scope: Construct, read: () => T, fallback: T): T {
  try {
    return read();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    scope.node.addValidation({ validate: () => [message] });
    return fallback;
  }
}

/** The error for a wrong prop: names the prop, the value and what is allowed. */
export function notAllowed(prop: string, given: unknown, allowed: string): Error {
  return new Error(`${prop}: ${JSON.stringify(given)} is not allowed; expected ${allowed}`);
}

const imageName = /^[a-z0-9][a-z0-9._:-]*(\/[a-z0-9][a-z0-9._-]*)*$/;
const imageTag = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const imageDigest = /^sha256:[a-f0-9]{64}$/;
const movingTags = ['latest', 'main', 'master', 'edge', 'stable'];

/** An image pinned by a digest or by a tag that does not move. Throws for `latest`, `main` and their like. */
export function pinned(prop: string, image: string): string {
  const [reference = '', digest] = image.split('@');
  // A colon before the last slash belongs to the registry's port.
  const colon = reference.indexOf(':', reference.lastIndexOf('/') + 1);
  const name = colon < 0 ? reference : reference.slice(0, colon);
  const tag = colon < 0 ? undefined : reference.slice(colon + 1);
  const tagHolds = tag === undefined ? digest !== undefined : imageTag.test(tag) && !movingTags.includes(tag);
  const digestHolds = digest === undefined || imageDigest.test(digest);
  if (!imageName.test(name) || !digestHolds || !tagHolds) {
    throw notAllowed(
      prop,
      image,
      'an image with a pinned tag or a digest, such as registry.example/name:1.2.3',
    );
  }
  return image;
}

/** Names of Kubernetes objects, such as Secrets. Throws for the first one that Kubernetes would refuse. */
export function objectNamesIn(prop: string, given: readonly string[]): string[] {
  for (const name of given) {
    if (name.length > 253 || !/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(name))
      throw notAllowed(prop, name, 'the name of an object: lower-case letters, digits, - and .');
  }
  return [...given];
}

/** An amount of CPU or memory in Kubernetes' notation. Throws when it is malformed. */
export function quantity(prop: string, given: string): string {
  if (/^\d+(\.\d+)?(m|k|[KMGT]i?)?$/.test(given)) return given;
  throw notAllowed(prop, given, 'a quantity such as 50m, 1 or 256Mi');
}

/** A TCP port. Throws when it is out of range. */
export function port(prop: string, given: number): number {
  if (Number.isInteger(given) && given > 0 && given < 65_536) return given;
  throw notAllowed(prop, given, 'a port from 1 to 65535');
}

/** Used instead of wrong settings, so that the rest of the tree can be built and checked. */
export const placeholderSettings = {
  prometheus: { url: 'http://invalid' },
  pushgateway: { url: 'http://invalid' },
};
