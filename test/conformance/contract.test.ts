import { describe } from 'vitest';
import { describeContract } from '../lab/api/contract/index.ts';
import { hasKubectl } from '../lab/api/testing.ts';
import { startRealTarget } from './real-target.ts';

if (!hasKubectl) throw new Error('conformance: no kubectl on this machine (1.28 or newer)');

describe('a real API server', () => describeContract(startRealTarget));
