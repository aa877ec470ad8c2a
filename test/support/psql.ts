/** Debian's `psql`, as customers of a tenant run it. */
import { type CommandResult, runCommand, skipWithout } from './program.ts'

/** For the `skip` of tests with psql: why they cannot run here, or false. */
export const WITHOUT_PSQL: string | false = skipWithout({ psql: 'postgresql-client' })

/** One statement over one connection; `settings` are those of a connection string, beside user and database. */
export async function psql(
  settings: Readonly<Record<string, string | number>>,
  statement: string,
): Promise<CommandResult> {
  const all = { user: 'amt', dbname: 'postgres', connect_timeout: 10, ...settings }
  const connection = Object.entries(all).map(([key, value]) => `${key}='${value}'`)
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !key.startsWith('PG')),
  )
  return runCommand(['psql', ['-X', '-A', '-t', connection.join(' '), '-c', statement]], { env })
}
