import { createHash } from 'node:crypto';
import { apiVersionOf, type Resource, resources, reviews } from '../resources.ts';

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const reviewVersions = [...new Set(reviews.map((r) => `${r.group}/v1`))];
const groupVersions = [...new Set([...resources.map(apiVersionOf), ...reviewVersions])];

/** The answer to a discovery path; undefined for any other path. */
export function discovery(path: string, serverAddress: string): unknown {
  const clean = path.replace(/\/$/, '');
  if (clean === '/api') {
    const address = { clientCIDR: '0.0.0.0/0', serverAddress };
    return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [address] };
  }
  if (clean === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups() };
  const [, api, group, version] = clean.split('/');
  if (api === 'api' && version === undefined) return resourceList(group ?? '');
  if (api !== 'apis' || group === undefined) return undefined;
  return version === undefined ? groups().find((g) => g.name === group) : resourceList(`${group}/${version}`);
}

function groups() {
  return groupVersions
    .filter((gv) => gv.includes('/'))
    .map((groupVersion) => {
      const [name, version] = groupVersion.split('/');
      const entry = { groupVersion, version };
      return { kind: 'APIGroup', apiVersion: 'v1', name, versions: [entry], preferredVersion: entry };
    });
}

function resourceList(groupVersion: string) {
  if (!groupVersions.includes(groupVersion)) return undefined;
  const own = resources.filter((r) => apiVersionOf(r) === groupVersion).flatMap(apiResources);
  const reviewResources = reviews
    .filter((r) => `${r.group}/v1` === groupVersion)
    .map((r) => ({
      name: r.name,
      singularName: r.kind.toLowerCase(),
      namespaced: false,
      kind: r.kind,
      verbs: ['create'],
    }));
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: [...own, ...reviewResources] };
}

function apiResources(r: Resource) {
  const { name, namespaced, kind } = r;
  const main = {
    name,
    singularName: r.singular,
    namespaced,
    kind,
    verbs,
    ...(r.shortNames.length > 0 ? { shortNames: r.shortNames } : {}),
    ...(r.categories.length > 0 ? { categories: r.categories } : {}),
  };
  const below = r.subresources.map((s) => ({
    name: `${name}/${s.name}`,
    singularName: '',
    namespaced,
    ...(s.group === undefined ? {} : { group: s.group, version: s.version }),
    kind: s.kind,
    verbs: s.verbs,
  }));
  return [main, ...below];
}

const openApiPath = (gv: string): string => (gv.includes('/') ? `apis/${gv}` : `api/${gv}`);

/**
 * The part of OpenAPI v3 that kubectl reads: that the server validates fields, so that kubectl does not have
 * to.
 */
export function openApiV3(path: string): unknown {
  if (path === '/openapi/v3') {
    const paths = groupVersions.map((gv) => {
      const hash = createHash('sha256').update(gv).digest('hex').toUpperCase();
      return [openApiPath(gv), { serverRelativeURL: `/openapi/v3/${openApiPath(gv)}?hash=${hash}` }];
    });
    return { paths: Object.fromEntries(paths) };
  }
  const groupVersion = groupVersions.find((gv) => path === `/openapi/v3/${openApiPath(gv)}`);
  if (groupVersion === undefined) return undefined;
  const served = resources.filter((r) => apiVersionOf(r) === groupVersion);
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'unversioned' },
    paths: Object.fromEntries(served.map((r) => [objectPath(r), { patch: patchOperation(r) }])),
    components: { schemas: {} },
  };
}

function objectPath(r: Resource): string {
  const scope = r.namespaced ? '/namespaces/{namespace}' : '';
  return `/${openApiPath(apiVersionOf(r))}${scope}/${r.name}/{name}`;
}

function patchOperation({ group, version, kind }: Resource) {
  const parameter = (name: string) => ({ name, in: 'query', schema: { type: 'string', uniqueItems: true } });
  return {
    parameters: ['dryRun', 'fieldManager', 'fieldValidation', 'force'].map(parameter),
    responses: {},
    'x-kubernetes-action': 'patch',
    'x-kubernetes-group-version-kind': { group, version, kind },
  };
}

/** The answer to `/version` for a release such as 1.34.2. */
export function versionInfo(release: string) {
  const [major, minor] = release.split('.');
  return {
    major,
    minor,
    gitVersion: `v${release}`,
    gitCommit: createHash('sha1').update(release).digest('hex'),
    gitTreeState: 'clean',
    buildDate: '2026-01-15T12:00:00Z',
    goVersion: 'go1.24.9',
    compiler: 'gc',
    platform: 'linux/amd64',
  };
}
