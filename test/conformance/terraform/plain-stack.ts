import { App, DataResource, TerraformStack } from 'cdktf';
import { stateBackend } from '../../../constructs/index.ts';

// A stack without providers, to test where its state is stored.
const app = new App({ stackTraces: false });
const stack = new TerraformStack(app, 'plain');
stateBackend(stack, { postgres: Boolean(process.env.PG_CONN_STR), name: 'plain' });
new DataResource(stack, 'it', { input: { value: 'anything' } });
app.synth();
