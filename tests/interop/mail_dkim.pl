#!/usr/bin/perl
# Mail::DKIM over many messages in one process: mail_dkim.pl KEYS verify|sign [KEYFILE CANON] < list of files, one a line.
# verify: a line "result" per file, of its rsa-sha256 signatures joined by "," (this version knows no other algorithm).
# sign: writes FILE.signed with the signature above the message. KEYS holds lines "name text".
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Mail::DKIM::Signer;
use Net::DNS;

my ($keys, $what, $keyfile, $canon) = @ARGV;
my %text;
open my $k, '<', $keys or die "$keys: $!";
while (<$k>) { chomp; my ($name, $record) = split ' ', $_, 2; $text{lc $name} = $record; }
close $k;

package Table;
sub new { return bless {}, shift }
sub errorstring { return 'NXDOMAIN' }
sub send {
	my ($self, $name, $type) = @_;
	my $reply = Net::DNS::Packet->new($name, $type);
	$reply->push(answer => Net::DNS::RR->new(owner => $name, type => 'TXT', ttl => 60, txtdata => [$text{lc $name} =~ /(.{1,200})/g]))
		if $type eq 'TXT' && $text{lc $name};
	return $reply;
}
sub query { my $self = shift; my $reply = $self->send(@_); return scalar($reply->answer) ? $reply : undef }

package main;
$Mail::DKIM::DNS::RESOLVER = $Mail::DKIM::DNS::RESOLVER = Table->new;

sub octets {
	my ($file) = @_;
	local $/;
	open my $f, '<:raw', $file or die "$file: $!";
	return <$f>;
}

while (my $file = <STDIN>) {
	chomp $file;
	my $message = octets($file);
	if ($what eq 'verify') {
		my $v = Mail::DKIM::Verifier->new;
		$v->PRINT($message);
		$v->CLOSE;
		print join(',', map { $_->result } grep { $_->algorithm eq 'rsa-sha256' } $v->signatures), "\n";
	} else {
		my $s = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => $canon, Domain => 'example.org', Selector => 'rsa', KeyFile => $keyfile);
		$s->PRINT($message);
		$s->CLOSE;
		my $field = $s->signature->as_string;
		$field =~ s/\r?\n/\r\n/g;
		open my $f, '>:raw', "$file.signed" or die "$file.signed: $!";
		print $f $field, "\r\n", $message;
		close $f;
	}
}
