# The operations of clients_driven.py by Perl's Net::SFTP::Foreign, which has OpenSSH make the connection.
use strict;
use warnings;
use Net::SFTP::Foreign;
use Net::SFTP::Foreign::Attributes;

$| = 1;
my $sftp = Net::SFTP::Foreign->new(
    $ENV{SFTP_HOST},
    user => $ENV{SFTP_USER},
    port => $ENV{SFTP_PORT},
    more => [split / /, $ENV{SFTP_SSH_OPTIONS}],
    fs_encoding => 'latin1',    # bytes as they are
);
$sftp->die_on_error('no connection');

my %operations = (
    about => sub { "Net::SFTP::Foreign $Net::SFTP::Foreign::VERSION" },
    put => sub { $sftp->put(@_, copy_perm => 0, copy_time => 0) },
    get => sub { $sftp->get(@_, copy_perm => 0, copy_time => 0) },
    resume_put => sub { $sftp->put(@_, resume => 1, copy_perm => 0, copy_time => 0) },
    resume_get => sub { $sftp->get(@_, resume => 1, copy_perm => 0, copy_time => 0) },
    names => sub { map { $_->{filename} } @{$sftp->ls($_[0]) || []} },
    rename => sub { $sftp->rename(@_) },
    replace => sub { $sftp->rename(@_, overwrite => 1) },
    mkdir => sub { $sftp->mkdir(@_) },
    rmdir => sub { $sftp->rmdir(@_) },
    stat => sub { my $found = $sftp->stat(@_) or return; ($found->size, $found->perm, $found->mtime) },
    chmod => sub { $sftp->chmod(@_) },
    utime => sub { $sftp->utime($_[0], $_[1], $_[1]) },
    remove => sub { $sftp->remove(@_) },
);
my %telling = map { $_ => 1 } qw(about names stat);

while (my $line = <STDIN>) {
    my ($name, @words) = split ' ', $line;
    my @results = $operations{$name}->(map { pack 'H*', $_ } @words);
    if ($sftp->error) {
        print 'failed ', unpack('H*', $sftp->error), "\n";
    } else {
        print join(' ', 'ok', $telling{$name} ? map { unpack 'H*', $_ } @results : ()), "\n";
    }
}
