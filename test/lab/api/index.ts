export type { UserRef } from './auth/tokens.ts';
export { LabApi } from './lab-api.ts';
export type { RequestRecord } from './request-log.ts';
export type * from './types.ts';
