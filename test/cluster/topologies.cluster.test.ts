import { describeUpgrade } from './course.ts';

describeUpgrade({ topology: '3+1', from: '1.34.2', target: '1.34.4' });
