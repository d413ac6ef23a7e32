import jsonPatch from 'fast-json-patch';
import type { Resource } from '../resources.ts';
import { badRequest, failure, StatusError, unsupportedMediaType } from '../status.ts';
import type { KubeObject } from '../types.ts';
import { strategicMerge } from './strategic.ts';

const json = 'application/json-patch+json';
const merge = 'application/merge-patch+json';
const strategic = 'application/strategic-merge-patch+json';

/**
 * Checks the patch type; server-side apply is not supported.
 * @throws StatusError 415 for an unsupported type
 */
export function checkPatchType(r: Resource, mediaType: string): void {
  const accepted = r.custom ? [json, merge] : [json, merge, strategic];
  if (!accepted.includes(mediaType)) throw unsupportedMediaType(accepted);
}

/** Returns a patched copy of the object. @throws StatusError 400, 415, 422 */
export function applyPatch(r: Resource, mediaType: string, original: KubeObject, patch: unknown): KubeObject {
  checkPatchType(r, mediaType);
  if (mediaType === json) return applyJsonPatch(original, patch);
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) {
    throw badRequest(
      'error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}',
    );
  }
  const copy = structuredClone(original);
  return (mediaType === merge ? mergePatch(copy, patch) : strategicMerge(copy, patch)) as KubeObject;
}

function applyJsonPatch(original: KubeObject, patch: unknown): KubeObject {
  if (!Array.isArray(patch)) {
    throw badRequest(
      'error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch',
    );
  }
  try {
    return jsonPatch.applyPatch(structuredClone(original), patch, true).newDocument;
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new StatusError(
      failure(422, 'Invalid', `the server rejected our request due to an error in our request: ${why}`),
    );
  }
}

/** JSON merge patch, RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const isMap = typeof target === 'object' && target !== null && !Array.isArray(target);
  const result: Record<string, unknown> = isMap ? { ...target } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete result[field];
    else result[field] = mergePatch(result[field], value);
  }
  return result;
}
