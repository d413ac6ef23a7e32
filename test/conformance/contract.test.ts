import { describe } from 'vitest';
import { describeContract } from '../lab/api/contract/index.ts';
import { startRealTarget } from './real-target.ts';

describe('a real API server', () => describeContract(startRealTarget));
