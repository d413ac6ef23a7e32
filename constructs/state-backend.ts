import {
  LocalBackend,
  PgBackend,
  type PgBackendConfig,
  type TerraformBackend,
  type TerraformStack,
} from 'cdktf';

export interface StateBackendOptions {
  /** Whether PostgreSQL keeps the state: the environment has `PG_CONN_STR`. */
  readonly postgres: boolean;
  /** Of the schema in the database, and of the local file. */
  readonly name: string;
}

/** State in PostgreSQL, or else in a file of the project. */
export function stateBackend(
  stack: TerraformStack,
  { postgres, name }: StateBackendOptions,
): TerraformBackend {
  if (postgres) {
    // Without connStr, which holds a password: Terraform reads PG_CONN_STR itself, and it is written nowhere.
    const config: Omit<PgBackendConfig, 'connStr'> = { schemaName: name };
    return new PgBackend(stack, config as PgBackendConfig);
  }
  // Relative to cdktf.out/stacks/<stack>, where Terraform runs: a synthesized absolute path differs on every machine.
  return new LocalBackend(stack, { path: `../../../terraform.${name}.tfstate` });
}
