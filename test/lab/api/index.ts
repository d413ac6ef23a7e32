export type { AllowedBy } from './auth/rbac.ts';
export type { UserRef } from './auth/tokens.ts';
export type { Timings } from './controllers/kit.ts';
export type { Fault, FaultAction, FaultMatch } from './faults.ts';
export { LabApi, type LabApiOptions } from './lab-api.ts';
export type { RequestRecord } from './request-log.ts';
export type { Change, Store } from './store.ts';
export type * from './types.ts';
