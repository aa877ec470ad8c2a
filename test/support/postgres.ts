/** A PostgreSQL server of the test's own, on a Unix socket, with everything on as it is in earnest, fsync too. */

import { chmodSync, chownSync, copyFileSync, existsSync, globSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import type { Test } from 'tap'
import { Program, skipWithout } from './program.ts'

const SCRIPT = new URL('../../scripts/postgres', import.meta.url).pathname

/** For the `skip` of tests with PostgreSQL: why they cannot run here, or false. */
export const WITHOUT_POSTGRES: string | false =
  !globSync('/usr/lib/postgresql/*/bin/initdb').some(path => existsSync(path)) &&
  skipWithout({ initdb: 'postgresql' })

export class Postgres {
  readonly #t: Test
  readonly #folder: string
  readonly #options: readonly string[]
  #program: Program | undefined
  #databases = 0

  /** `folder` must have a short path: that of a Unix socket has 107 characters at most. */
  constructor(t: Test, folder: string, options: readonly string[]) {
    this.#t = t
    this.#folder = folder
    this.#options = options
  }

  /** Starts it, again too; fulfilled when it takes connections. */
  async start(): Promise<void> {
    this.#program = new Program(this.#t, [SCRIPT, [this.#folder, ...this.#options]])
    await this.#program.line(/database system is ready to accept connections/)
  }

  /** SIGQUIT ends it at once, as a crash would: it has to recover when it starts again. SIGINT cuts connections first. */
  async stop(signal: 'SIGQUIT' | 'SIGINT' = 'SIGINT'): Promise<void> {
    await this.#program?.stop(signal)
  }

  /** The URL of a new, empty database. */
  async createDatabase(): Promise<string> {
    this.#databases += 1
    const name = `ledger_${this.#databases}`
    await this.query('postgres', `CREATE DATABASE ${name}`)
    return this.url(name)
  }

  /** Copies of the files that the server may read; their paths. */
  installCertificate(cert: string, key: string): { readonly cert: string; readonly key: string } {
    const paths = { cert: join(this.#folder, 'server.crt'), key: join(this.#folder, 'server.key') }
    const { uid, gid } = statSync(this.#folder)
    for (const [from, to] of [
      [cert, paths.cert],
      [key, paths.key],
    ] as const) {
      copyFileSync(from, to)
      chmodSync(to, 0o600)
      chownSync(to, uid, gid)
    }
    return paths
  }

  /** Where it is said. */
  get #port(): string | undefined {
    const at = this.#options.indexOf('-p')
    return at === -1 ? undefined : this.#options[at + 1]
  }

  /** The Unix socket that it listens on. */
  get socket(): string {
    return join(this.#folder, `.s.PGSQL.${this.#port ?? '5432'}`)
  }

  url(database: string): string {
    // The socket is named after the port, also where the server listens on none.
    const port = this.#port === undefined ? '' : `&port=${this.#port}`
    return `postgres:///${database}?host=${this.#folder}&user=amt${port}`
  }

  /** Runs one statement, or several without parameters. */
  async query(database: string, sql: string): Promise<readonly Record<string, unknown>[]> {
    const client = new Client(this.url(database))
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows
    } finally {
      await client.end()
    }
  }
}

/** A running server, which ends with the test; `options` are more of `postgres`. */
export async function startPostgres(t: Test, ...options: string[]): Promise<Postgres> {
  const folder = await mkdtemp(join(tmpdir(), 'amt-pg-'))
  t.teardown(async () => rm(folder, { recursive: true, force: true }))
  const server = new Postgres(t, folder, options)
  await server.start()
  return server
}
