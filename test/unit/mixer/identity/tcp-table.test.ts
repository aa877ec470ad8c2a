import { test } from 'tap'
import { connectionKey, readTcpTable } from '../../../../src/mixer/identity/tcp-table.ts'

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const TCP = `${HEAD}   0: 0100007F:238D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0000000000000000 100 0 0 10 0
   1: 0100007F:9C40 0100007F:2384 01 00000000:00000000 00:00000000 00000000  1000        0 1002 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:9C42 0100007F:2384 06 00000000:00000000 03:00000A00 00000000     0        0 0 3 0000000000000000
   3: 0100007F:9C44 0100007F:2384 04 00000000:00000000 00:00000000 00000000     0        0 1004 1 0000000000000000
`
const TCP6 = `${HEAD}   0: 00000000000000000000000000000000:238E 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2001 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:9C46 0000000000000000FFFF00000100007F:2384 01 00000000:00000000 00:00000000 00000000     0        0 2002 1 0000000000000000
   2: B80D0120000000000000000001000000:1F90 B80D0120000000000000000002000000:2384 01 00000000:00000000 00:00000000 00000000     0        0 2003 1 0000000000000000
   3: nonsense
`

function key(localAddress: string, localPort: number, remoteAddress = '127.0.0.1'): string {
  return connectionKey({ localAddress, localPort, remoteAddress, remotePort: 0x2384 })
}

await test('sockets of both tables are read, IPv4-mapped ones as IPv4', t => {
  const wanted = new Set([
    key('127.0.0.1', 0x9c40),
    key('127.0.0.1', 0x9c46),
    key('2001:db8::1', 8080, '2001:db8::2'),
  ])
  const { listening, connected } = readTcpTable([TCP, TCP6], wanted, true)
  t.same(listening, [
    { address: '127.0.0.1', port: 9101, inode: '1001' },
    { address: '::', port: 9102, inode: '2001' },
  ])
  t.same(Object.fromEntries(connected), {
    [key('127.0.0.1', 0x9c40)]: { inode: '1002', uid: 1_000 },
    [key('127.0.0.1', 0x9c46)]: { inode: '2002', uid: 0 },
    [key('2001:db8::1', 8080, '2001:db8::2')]: { inode: '2003', uid: 0 },
  })
  t.end()
})

await test('a socket that is closing, without a process, or not asked for, is none', t => {
  const wanted = new Set([
    key('127.0.0.1', 0x9c42),
    key('127.0.0.1', 0x9c44),
    // The server's own end of a connection is that connection the other way round.
    connectionKey({
      localAddress: '127.0.0.1',
      localPort: 0x2384,
      remoteAddress: '127.0.0.1',
      remotePort: 0x9c40,
    }),
  ])
  t.equal(readTcpTable([TCP, TCP6], wanted, true).connected.size, 0)
  t.end()
})

await test('a machine of the other byte order writes addresses the other way', t => {
  const text = TCP.replaceAll('0100007F', '7F000001')
  const { listening, connected } = readTcpTable([text], new Set([key('127.0.0.1', 0x9c40)]), false)
  t.equal(listening[0]?.address, '127.0.0.1')
  t.equal(connected.size, 1)
  t.end()
})

await test('what is no table gives no sockets', t => {
  for (const text of ['', '\n', 'x', HEAD, '0: ZZ:1 00:0 0A'])
    t.same(readTcpTable([text], new Set(), true).listening, [])
  t.end()
})
