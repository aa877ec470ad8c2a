/** The look at the processes, over a `/proc` that the test makes up: races, hidden processes, other systems. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, t, test } from 'tap'
import { ProcessFiles } from '../../../../src/mixer/identity/process-files.ts'
import { ProcessLookup } from '../../../../src/mixer/identity/process-lookup.ts'
import type { Deployments, RegisteredTenant } from '../../../../src/mixer/registry/registry.ts'
import { LogLines } from '../../../support/log-lines.ts'
import { tenant } from '../../../support/registry/registrations.ts'

const ACME: RegisteredTenant = { ...tenant('acme'), service: 'notes' }
const CONNECTION = {
  localAddress: '127.0.0.1',
  localPort: 40_000,
  remoteAddress: '127.0.0.1',
  remotePort: 9092,
}
const LISTENER = '0: 0100007F:238D 00000000:0000 0A 0:0 0:0 0 0 0 1001 1'

function caller(inode: number): string {
  return `1: 0100007F:9C40 0100007F:2384 01 0:0 0:0 0 1000 0 ${inode} 1`
}

class MadeUpProc {
  readonly root: string

  constructor(t: Test) {
    this.root = t.testdir({ net: {} })
  }

  sockets(...lines: string[]): void {
    writeFileSync(join(this.root, 'net', 'tcp'), `sl local\n${lines.join('\n')}\n`)
  }

  process(pid: number, inodes: readonly number[], startedAt = pid): void {
    const folder = join(this.root, String(pid))
    mkdirSync(join(folder, 'fd'), { recursive: true })
    const zeros = '0 '.repeat(15)
    writeFileSync(join(folder, 'stat'), `${pid} (a ) b) S 1 ${pid} ${zeros}0 ${startedAt} 0\n`)
    for (const [index, inode] of inodes.entries())
      symlinkSync(`socket:[${inode}]`, join(folder, 'fd', String(index)))
  }
}

// The pause between two looks keeps no process alive; these tests wait for it.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

function lookup(files: ProcessFiles, log = new LogLines()): ProcessLookup {
  const places: Partial<Deployments> = {
    byEndpoint: (address, port) => (address === '127.0.0.1' && port === 9101 ? [ACME] : []),
    loopbackAddresses: port => new Set(port === 9101 ? ['127.0.0.1'] : []),
  }
  return new ProcessLookup({
    files,
    deployments: places as Deployments,
    ownAddresses: () => [],
    logger: log.logger,
    looked: () => {},
  })
}

await test('the process that holds the connection leads to its deployment', async t => {
  const proc = new MadeUpProc(t)
  proc.sockets(LISTENER, caller(1002))
  proc.process(20, [1001, 1002])
  t.same(await lookup(new ProcessFiles(proc.root)).find(CONNECTION), {
    kind: 'tenants',
    tenants: ['acme'],
  })
})

await test('a port that another socket has got meanwhile shows nobody', async t => {
  const proc = new MadeUpProc(t)
  proc.sockets(LISTENER, caller(1002))
  proc.process(20, [1001, 1002])
  class Meanwhile extends ProcessFiles {
    override async look(inodes: ReadonlySet<string>) {
      const seen = await super.look(inodes)
      proc.sockets(LISTENER, caller(1003))
      return seen
    }
  }
  t.same(await lookup(new Meanwhile(proc.root)).find(CONNECTION), {
    kind: 'failed',
    reason: 'process_not_found',
  })
})

await test('a process number that became another process holds nothing', async t => {
  const proc = new MadeUpProc(t)
  proc.sockets(LISTENER, caller(1002))
  proc.process(20, [1001])
  proc.process(30, [1002])
  // Its descriptors are gone with it.
  rmSync(join(proc.root, '30', 'fd'), { recursive: true })
  t.match(await lookup(new ProcessFiles(proc.root)).find(CONNECTION), {
    reason: 'process_not_found',
  })
})

await test('a connection that is not there shows nobody', async t => {
  const proc = new MadeUpProc(t)
  proc.sockets(LISTENER)
  proc.process(20, [1001])
  t.match(await lookup(new ProcessFiles(proc.root)).find(CONNECTION), {
    reason: 'process_not_found',
  })
})

await test('processes of others are said to be hidden, where that matters', async t => {
  const proc = new MadeUpProc(t)
  proc.sockets(LISTENER, caller(1002))
  class Hidden extends ProcessFiles {
    override async look(inodes: ReadonlySet<string>) {
      return { ...(await super.look(inodes)), hidden: 1 }
    }
  }
  const hidden = lookup(new Hidden(proc.root))
  t.match(await hidden.find(CONNECTION), { reason: 'process_hidden' }, 'the caller')
  proc.process(30, [1002])
  t.match(await hidden.find(CONNECTION), { reason: 'process_hidden' }, 'who listens')
  proc.process(20, [1001])
  t.same(await hidden.find(CONNECTION), { kind: 'tenants', tenants: [] }, 'neither')
})

await test('a system without such tables is no reason to fail', async t => {
  const files = new ProcessFiles(join(t.testdir({}), 'nothing'))
  t.match(await lookup(files).find(CONNECTION), { reason: 'process_unsupported' })
})

await test('what cannot be looked at is logged, and the next look works', async t => {
  const proc = new MadeUpProc(t)
  proc.sockets(LISTENER, caller(1002))
  proc.process(20, [1001, 1002])
  const log = new LogLines()
  let broken = true
  class Broken extends ProcessFiles {
    override async look(inodes: ReadonlySet<string>) {
      if (broken) throw new Error('broken')
      return super.look(inodes)
    }
  }
  const looking = lookup(new Broken(proc.root), log)
  t.match(await looking.find(CONNECTION), { kind: 'failed' })
  broken = false
  t.match(await looking.find(CONNECTION), { kind: 'tenants' })
  t.equal(log.lines.length, 1)
})
