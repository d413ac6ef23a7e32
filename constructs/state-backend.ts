import {
  LocalBackend,
  PgBackend,
  type PgBackendConfig,
  type TerraformBackend,
  type TerraformStack,
} from 'cdktf';

/** Where Terraform's state is kept. */
export interface StateBackendOptions {
  /** Whether PostgreSQL keeps the state. Terraform then needs `PG_CONN_STR` in the environment. */
  readonly postgres: boolean;
  /** Name of the schema in the database; part of the name of the local file. */
  readonly name: string;
}

/** Keeps the stack's state in PostgreSQL, or in a file in the root of the project. */
export function stateBackend(
  stack: TerraformStack,
  { postgres, name }: StateBackendOptions,
): TerraformBackend {
  if (postgres) {
    // Without connStr, which holds a password: Terraform reads PG_CONN_STR itself, so no file holds it.
    const config: Omit<PgBackendConfig, 'connStr'> = { schemaName: name };
    return new PgBackend(stack, config as PgBackendConfig);
  }
  // Relative to cdktf.out/stacks/<stack>, where Terraform runs, so that it is the same on every machine.
  return new LocalBackend(stack, { path: `../../../terraform.${name}.tfstate` });
}
