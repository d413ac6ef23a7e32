import { apiVersionOf, type Resource } from '../resources.ts';
import { table } from '../tables/columns.ts';
import type { KubeObject, Stored } from '../types.ts';
import { toEventsGroup } from './events-group.ts';

/** Renders objects as the Accept header requests: as they are, as table rows, or as metadata only. */
export class Representation {
  readonly #resource: Resource;
  readonly #as: 'object' | 'table' | 'metadata';
  readonly #include: string;
  #columnsSent = false;

  constructor(resource: Resource, accept: string | undefined, query: URLSearchParams) {
    this.#resource = resource;
    const first = (accept ?? '').split(',').find((part) => part.trim().startsWith('application/json')) ?? '';
    this.#as = /as=Table/.test(first)
      ? 'table'
      : /as=PartialObjectMetadata/.test(first)
        ? 'metadata'
        : 'object';
    this.#include = query.get('includeObject') ?? 'Metadata';
  }

  /** A single object. */
  one(object: Stored): unknown {
    if (this.#as === 'table') return this.#table([object], object.metadata.resourceVersion);
    return this.#as === 'metadata' ? partial(object) : this.#object(object);
  }

  /** A list. `next` is the continue token of the next page; undefined on the last. */
  list(objects: readonly Stored[], version: string, next?: string): unknown {
    const metadata = { resourceVersion: version, ...(next === undefined ? {} : { continue: next }) };
    if (this.#as === 'table') return { ...this.#table(objects, version), metadata };
    if (this.#as === 'metadata') {
      return {
        kind: 'PartialObjectMetadataList',
        apiVersion: 'meta.k8s.io/v1',
        metadata,
        items: objects.map(partial),
      };
    }
    const { kind, custom } = this.#resource;
    const items = objects.map((o) => {
      const { apiVersion, kind: own, ...rest } = this.#object(o);
      return custom ? { apiVersion, kind: own, ...rest } : rest;
    });
    return { kind: `${kind}List`, apiVersion: apiVersionOf(this.#resource), metadata, items };
  }

  /** The object of a watch event. Only the first table of a watch contains column definitions. */
  event(object: Stored): unknown {
    if (this.#as !== 'table') return this.one(object);
    const rows = this.#table([object], object.metadata.resourceVersion);
    const shown = this.#columnsSent ? { ...rows, columnDefinitions: null } : rows;
    this.#columnsSent = true;
    return shown;
  }

  /** The object of a bookmark. */
  bookmark(version: string, annotations?: Record<string, string>): unknown {
    const metadata = {
      resourceVersion: version,
      creationTimestamp: null,
      ...(annotations === undefined ? {} : { annotations }),
    };
    if (this.#as === 'table') return { ...this.#table([], version), columnDefinitions: null };
    return { kind: this.#resource.kind, apiVersion: apiVersionOf(this.#resource), metadata };
  }

  #object(object: Stored): KubeObject {
    return this.#resource.group === 'events.k8s.io' ? toEventsGroup(object) : object;
  }

  #table(objects: readonly Stored[], version: string) {
    return table(this.#resource.name, objects, version, this.#include);
  }
}

const partial = ({ metadata }: Stored) => ({
  kind: 'PartialObjectMetadata',
  apiVersion: 'meta.k8s.io/v1',
  metadata,
});
