/** Debian's HAProxy and nginx, in front of AMT or behind it, as operators have them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { listening, Program, skipWithout } from './program.ts'

/** For the `skip` of tests: why they cannot run here, or false. */
export const WITHOUT_HAPROXY: string | false = skipWithout({ haproxy: 'haproxy', curl: 'curl' })
export const WITHOUT_NGINX: string | false = skipWithout({ nginx: 'nginx', curl: 'curl' })

const DEFAULTS = `
defaults
  timeout connect 5s
  timeout client 30s
  timeout server 30s
`

/** Resolves when something listens at each of `ports` on 127.0.0.1. */
export async function startHaproxy(
  t: Test,
  sections: string,
  ports: readonly number[],
): Promise<void> {
  const folder = newFolder(t)
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, `global\n  maxconn 100\n${DEFAULTS}\n${sections}\n`)
  const program = new Program(t, ['haproxy', ['-db', '-f', file]])
  await Promise.all(ports.map(port => listening(program, port)))
}

/** `http` is what stands in the block of that name. */
export async function startNginx(t: Test, http: string, ports: readonly number[]): Promise<void> {
  const folder = newFolder(t)
  const file = join(folder, 'nginx.conf')
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${folder}/${name};`)
    .join('\n')
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr;
events { worker_connections 64; }
http { access_log off; ${paths} ${http} }`,
  )
  const program = new Program(t, ['nginx', ['-p', folder, '-c', file]])
  await Promise.all(ports.map(port => listening(program, port)))
}

function newFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'amt-balancer-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
