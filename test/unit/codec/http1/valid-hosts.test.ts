import { test } from 'tap'
import { ValidHosts } from '../../../../src/codec/http1/valid-hosts.ts'

await test('says of each host whether it is one, however often and in whatever order they are asked for', t => {
  const hosts = new ValidHosts()
  // More than there are places for, so that they push each other out.
  const valid = Array.from({ length: 300 }, (_, index) => `tenant-${index}.example.com:${index}`)
  const invalid = valid.map(host => `${host}/`)
  for (let round = 0; round < 3; round += 1)
    for (const [index, host] of valid.entries()) {
      if (hosts.find(invalid[index] as string) !== undefined) t.fail(`${invalid[index]}`)
      if (hosts.find(host) !== host) t.fail(host)
    }
  t.equal(hosts.find('[::1]:8080'), '[::1]:8080')
  t.equal(hosts.find('user@example.com'), undefined)
  t.end()
})

await test('hosts that differ only behind what is printed are told apart', t => {
  const hosts = new ValidHosts()
  const stem = 'a'.repeat(60)
  for (const host of [`${stem}b`, `${stem}c`, `${stem}b`]) t.equal(hosts.find(host), host)
  t.equal(hosts.find(`${stem}@`), undefined)
  t.end()
})

await test('a host longer than a name can be is read each time', t => {
  const hosts = new ValidHosts()
  const longest = 'a'.repeat(255)
  t.equal(hosts.find(`${longest}:443`), `${longest}:443`)
  t.equal(hosts.find(`${longest}a`), undefined)
  t.end()
})
