import type { Attributes } from '../auth/rbac.ts';
import type { User } from '../auth/tokens.ts';

/** A request as kube-apiserver parses it from method, path and query. Fields that do not apply are empty. */
export interface RequestInfo {
  /** Path of the URL, without the query. */
  readonly path: string;
  /** Parameters of the URL. */
  readonly query: URLSearchParams;
  /** RBAC verb; for a non-resource path the HTTP method in lower case. */
  readonly verb: string;
  /** Whether the path is below `/api/v1` or `/apis/<group>/<version>`. */
  readonly isResource: boolean;
  /** API group; empty for the core group. */
  readonly group: string;
  /** Version of the group. */
  readonly version: string;
  /** Plural, such as `pods`. */
  readonly resource: string;
  /** Such as `eviction`. */
  readonly subresource: string;
  /** Undefined for cluster-scoped resources and for all namespaces. */
  readonly namespace: string | undefined;
  /** Name of the object; for a list the one that its field selector selects. */
  readonly name: string;
  /** `dryRun=All`, for a deletion with a body what that says. */
  dryRun: boolean;
  /** `fieldValidation=Strict`. */
  readonly strict: boolean;
}

const isTrue = (text: string | null): boolean => text !== null && text !== 'false' && text !== '0';

/** Parses a request. */
export function requestInfo(method: string, url: string): RequestInfo {
  const { pathname, searchParams: query } = new URL(url, 'https://lab');
  const parts = pathname
    .split('/')
    .filter((p) => p !== '')
    .map(decodeURIComponent);
  const common = {
    path: pathname,
    query,
    dryRun: query.getAll('dryRun').includes('All'),
    strict: query.get('fieldValidation') === 'Strict',
  };
  const prefix = parts[0] === 'api' ? 2 : 3;
  if ((parts[0] !== 'api' && parts[0] !== 'apis') || parts.length <= prefix) {
    return {
      ...common,
      verb: method.toLowerCase(),
      isResource: false,
      group: '',
      version: '',
      resource: '',
      subresource: '',
      namespace: undefined,
      name: '',
    };
  }
  const group = prefix === 2 ? '' : (parts[1] ?? '');
  const version = parts[prefix - 1] ?? '';
  const target = resourcePath(parts.slice(prefix));
  const name = target.name === '' ? namedByField(query) : target.name;
  const verb = verbOf(method, target.name !== '', isTrue(query.get('watch')));
  return { ...common, isResource: true, group, version, ...target, name, verb };
}

function resourcePath(parts: readonly string[]) {
  const [first, second, third = ''] = parts;
  const scoped = first === 'namespaces' && parts.length > 2 && third !== 'status' && third !== 'finalize';
  if (scoped) {
    return { namespace: second, resource: third, name: parts[3] ?? '', subresource: parts[4] ?? '' };
  }
  // For authorization a namespace is in itself, so that a Role in it can grant access to it.
  const namespace = first === 'namespaces' ? second : undefined;
  return { namespace, resource: first ?? '', name: second ?? '', subresource: third };
}

/** The name in the field selector: a list that selects one object by name is authorized for that name. */
function namedByField(query: URLSearchParams): string {
  return /(?:^|,)metadata\.name=([^,]+)/.exec(query.get('fieldSelector') ?? '')?.[1] ?? '';
}

function verbOf(method: string, named: boolean, watch: boolean): string {
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (watch) return 'watch';
      return named ? 'get' : 'list';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return named ? 'delete' : 'deletecollection';
    default:
      return method.toLowerCase();
  }
}

/** What the authorizer decides on. */
export function attributes(info: RequestInfo, user: User): Attributes {
  const { path, verb } = info;
  if (!info.isResource) return { user, verb, path };
  return {
    user,
    verb,
    path,
    resource: {
      group: info.group,
      name: info.resource,
      subresource: info.subresource,
      namespace: info.namespace,
      objectName: info.name,
    },
  };
}
