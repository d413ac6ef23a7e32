import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Rbac } from '../auth/rbac.ts';
import { serviceAccountUser, type Tokens, type User } from '../auth/tokens.ts';
import type { Deleted, Registry } from '../registry.ts';
import { findResource, type Resource } from '../resources.ts';
import {
  badRequest,
  invalid,
  invalidValue,
  methodNotAllowed,
  notFound,
  type Status,
  success,
  unknownPath,
} from '../status.ts';
import type { KubeObject, Stored } from '../types.ts';
import { toCoreEvent } from './events-group.ts';
import { evict } from './eviction.ts';
import { checkDryRun, deleteOptions } from './options.ts';
import { applyPatch, checkPatchType } from './patch.ts';
import { Representation } from './representation.ts';
import type { RequestInfo } from './request-info.ts';
import { review } from './reviews.ts';
import { scaleOf, setScale } from './scale.ts';
import { checkVersionParameter, page, selected, selection, Watch } from './watch.ts';

/** The parts of the lab that the handler uses. */
export interface HandlerDeps {
  readonly registry: Registry;
  readonly rbac: Rbac;
  readonly tokens: Tokens;
  /** Between two bookmarks of a watch, in ms. */
  readonly bookmarkInterval: number;
  /** Streams a container's log. @throws StatusError */
  readonly serveLog: (pod: Stored, query: URLSearchParams, response: ServerResponse) => void;
}

/** One request for a resource. */
export interface Call {
  readonly info: RequestInfo;
  readonly user: User;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The decoded body; undefined when there is none. */
  readonly body: unknown;
}

/**
 * An answer with its code, or a stream that writes to the response itself and returns a function that stops
 * it.
 */
export type Answer =
  | { readonly code: number; readonly body: unknown }
  | { readonly stream: (response: ServerResponse, onEnd: () => void) => () => void };

const ok = (body: unknown, code = 200): Answer => ({ code, body });

/** Handles all requests below `/api/v1` and `/apis/<group>/<version>`. */
export class ResourceHandler {
  readonly #deps: HandlerDeps;
  constructor(deps: HandlerDeps) {
    this.#deps = deps;
  }

  /** Handles one request. @throws StatusError */
  handle(call: Call): Answer {
    const { info, user } = call;
    if (info.verb === 'create') {
      const reviewed = review(this.#deps.rbac, user, info.resource, asObject(call.body));
      if (reviewed !== undefined) return ok(reviewed, 201);
    }
    const r = findResource(info.group, info.version, info.resource);
    if (r === undefined) throw unknownPath();
    checkDryRun(info);
    if (info.subresource !== '') return this.#subresource(r, call);
    return this.#object(r, call);
  }

  #object(r: Resource, call: Call): Answer {
    const { info, body } = call;
    const { registry } = this.#deps;
    const shown = new Representation(r, call.request.headers.accept, info.query);
    switch (info.verb) {
      case 'get':
        return ok(shown.one(this.#stored(r, info)));
      case 'list': {
        const selects = selection(r, info.namespace, info.query);
        checkVersionParameter(info.query);
        const all = selected(registry.store, r, info.namespace, selects);
        const { objects, next } = page(registry.store, all, info.query);
        return ok(shown.list(objects, String(registry.store.version), next));
      }
      case 'watch':
        checkVersionParameter(info.query);
        return this.#watch(r, info, shown);
      case 'create':
        return ok(shown.one(registry.create(r, scopeOf(r, info), incoming(r, body), info)), 201);
      case 'update':
        return ok(shown.one(registry.update(r, scopeOf(r, info), info.name, incoming(r, body), info)));
      case 'patch':
        return ok(shown.one(this.#patch(r, call)));
      case 'delete':
        return this.#delete(r, call, shown);
      case 'deletecollection':
        return this.#deleteCollection(r, call, shown);
      default:
        throw methodNotAllowed();
    }
  }

  #stored(r: Resource, info: RequestInfo): Stored {
    const found = this.#deps.registry.store.get(r.name, scopeOf(r, info), info.name) as Stored | undefined;
    if (found === undefined) throw notFound(r, info.name);
    return found;
  }

  #watch(r: Resource, info: RequestInfo, shown: Representation): Answer {
    const selects = selection(r, info.namespace, info.query);
    const { registry, bookmarkInterval } = this.#deps;
    const options = {
      store: registry.store,
      resource: r,
      namespace: scopeOf(r, info),
      selects,
      query: info.query,
      shown,
      bookmarkInterval,
    };
    return {
      stream: (response, onEnd) => {
        const watch = new Watch(response, options);
        watch.start(onEnd);
        return () => watch.stop();
      },
    };
  }

  #patch(r: Resource, { info, request, body }: Call): Stored {
    const mediaType = (request.headers['content-type'] ?? '').split(';')[0] ?? '';
    checkPatchType(r, mediaType);
    const current = this.#stored(r, info);
    const patched = incoming(r, applyPatch(r, mediaType, current, body));
    const uid = patched.metadata?.uid;
    if (uid !== current.metadata.uid)
      throw invalid(r, info.name, [invalidValue('metadata.uid', uid ?? '', 'field is immutable')]);
    return this.#deps.registry.update(r, scopeOf(r, info), info.name, patched, info);
  }

  #delete(r: Resource, { info, body }: Call, shown: Representation): Answer {
    const options = deleteOptions(body, info.query);
    info.dryRun = options.dryRun === true;
    const deleted = this.#deps.registry.delete(r, scopeOf(r, info), info.name, options);
    return ok(deletionAnswer(r, deleted, shown));
  }

  #deleteCollection(r: Resource, { info, body }: Call, shown: Representation): Answer {
    const options = deleteOptions(body, info.query);
    info.dryRun = options.dryRun === true;
    const { registry } = this.#deps;
    const selects = selection(r, info.namespace, info.query);
    const objects = selected(registry.store, r, scopeOf(r, info), selects);
    for (const { metadata } of objects) {
      registry.delete(r, metadata.namespace, metadata.name, options);
    }
    return ok(shown.list(objects, String(registry.store.version)));
  }

  #subresource(r: Resource, call: Call): Answer {
    const { info } = call;
    const known = r.subresources.find((s) => s.name === info.subresource);
    if (known === undefined) throw unknownPath();
    if (!known.verbs.includes(info.verb)) throw methodNotAllowed();
    switch (info.subresource) {
      case 'status':
        return this.#status(r, call);
      case 'scale':
        return this.#scale(r, call);
      case 'eviction':
        return statusAnswer(
          evict(this.#deps.registry, info.namespace ?? '', info.name, asObject(call.body), info.dryRun),
        );
      case 'token':
        return ok(this.#token(r, call), 201);
      case 'log':
        return this.#log(r, call);
      default:
        return this.#finalize(r, call);
    }
  }

  #status(r: Resource, call: Call): Answer {
    const { info, body } = call;
    const shown = new Representation(r, call.request.headers.accept, info.query);
    if (info.verb === 'get') return ok(shown.one(this.#stored(r, info)));
    if (info.verb === 'patch') return ok(shown.one(this.#patch(r, call)));
    return ok(shown.one(this.#deps.registry.update(r, scopeOf(r, info), info.name, incoming(r, body), info)));
  }

  #scale(r: Resource, { info, body, request }: Call): Answer {
    const { registry } = this.#deps;
    const current = scaleOf(registry, r, info.namespace, info.name);
    if (info.verb === 'get') return ok(current);
    const mediaType = (request.headers['content-type'] ?? '').split(';')[0] ?? '';
    const wanted = info.verb === 'patch' ? applyPatch(r, mediaType, current, body) : asObject(body);
    return ok(setScale(registry, r, info.namespace, info.name, wanted, info));
  }

  #token(r: Resource, { info, body }: Call): KubeObject {
    const { namespace = '', name } = this.#stored(r, info).metadata;
    const spec = (asObject(body).spec ?? {}) as { expirationSeconds?: number };
    const seconds = spec.expirationSeconds ?? 3600;
    const token = info.dryRun ? '' : this.#deps.tokens.issue(serviceAccountUser(namespace, name));
    return {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { name, namespace },
      spec: { audiences: ['https://kubernetes.default.svc'], ...spec, expirationSeconds: seconds },
      status: { token, expirationTimestamp: new Date(Date.now() + seconds * 1000).toISOString() },
    };
  }

  #log(r: Resource, { info }: Call): Answer {
    const pod = this.#stored(r, info);
    return {
      stream: (response, onEnd) => {
        response.once('close', onEnd);
        this.#deps.serveLog(pod, info.query, response);
        return () => response.destroy();
      },
    };
  }

  #finalize(r: Resource, { info, body }: Call): Answer {
    const { store } = this.#deps.registry;
    const spec = asObject(body).spec;
    const done = store.modify(r.name, undefined, info.name, (o) => {
      (o as KubeObject).spec = spec;
    });
    if (done === undefined) throw notFound(r, info.name);
    return ok(done);
  }
}

const scopeOf = (r: Resource, info: RequestInfo): string | undefined =>
  r.namespaced ? info.namespace : undefined;

function asObject(body: unknown): KubeObject {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badRequest('the object provided is unrecognized (must be of type object)');
  }
  return body as KubeObject;
}

function incoming(r: Resource, body: unknown): KubeObject {
  const object = asObject(body);
  if (r.name !== 'events') return object;
  return r.group === 'events.k8s.io' && object.apiVersion !== 'v1'
    ? ({ ...toCoreEvent(object), apiVersion: undefined } as unknown as KubeObject)
    : object;
}

const statusAnswer = (status: Status): Answer => ({ code: status.code, body: status });

/** Answers with the object if it still exists or is a pod or service account, otherwise with a Status. */
function deletionAnswer(r: Resource, { object, gone }: Deleted, shown: Representation): unknown {
  if (!gone || r.name === 'pods' || r.name === 'serviceaccounts') return shown.one(object);
  const { name, uid } = object.metadata;
  return success(200, { name, ...(r.group === '' ? {} : { group: r.group }), kind: r.name, uid });
}
