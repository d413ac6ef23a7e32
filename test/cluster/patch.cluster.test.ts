import { describeUpgrade } from './course.ts';

describeUpgrade({ topology: '1+2', from: '1.34.2', target: '1.34.4' });
